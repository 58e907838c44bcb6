"""The least that django-dbbackup needs to back up our database and our media folder."""

import os

SECRET_KEY = "of no use"
USE_TZ = True
INSTALLED_APPS = ["dbbackup"]
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BENCH_DATABASE"]}
POSTGRES = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": "shop",
    **{name: os.environ.get(f"BENCH_PG_{name}") for name in ["HOST", "PORT", "USER", "PASSWORD"]},
}
DATABASES = {"default": POSTGRES if POSTGRES["HOST"] else SQLITE}
MEDIA_ROOT = os.environ["BENCH_MEDIA"]
DBBACKUP_SEND_EMAIL = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "dbbackup": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": os.environ["BENCH_STORAGE"]},
    },
}
