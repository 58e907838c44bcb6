//! An honest storage in a folder, as simple as one can be: no fsync, no locks, every listing walks the whole folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, During, Error, ErrorKind, Leftover, ListOptions, Object, Page, Reader,
    Result, Storage, StorageReport, Stored, Upload,
};
use windlass_testkit::memory::{judge, page};

/// Where half uploads are, named `<number>;<run>;<key with commas for slashes>`. No key holds a comma.
const HALVES: &str = ",half";

pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        judge(key)?;
        if key.contains([',', ';', '\0']) {
            return Err(Error::new(ErrorKind::Config, format!("`{key}` is no key of this storage")));
        }
        Ok(self.root.join(key))
    }

    /// Every object, in byte order of the keys.
    fn objects(&self) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).during("can't list the folder")? {
                let (path, is_folder) =
                    entry.and_then(|entry| Ok((entry.path(), entry.file_type()?.is_dir())))?;
                let key = path.strip_prefix(&self.root).unwrap_or(&path).to_string_lossy().into_owned();
                match (is_folder, key == HALVES) {
                    (true, true) => {}
                    (true, false) => folders.push(path),
                    // It may be gone by now.
                    (false, _) => objects.extend(object(&key, &path)?),
                }
            }
        }
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }
}

/// What is at `path`, if it is an object.
fn object(key: &str, path: &Path) -> Result<Option<Object>> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => {
            Ok(Some(Object { key: key.to_owned(), size_bytes: meta.len(), ..Object::default() }))
        }
        Ok(_) => Ok(None),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl Storage for Folder {
    fn create(&self, _: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let target = self.path(key)?;
        if how.if_absent && object(key, &target)?.is_some() {
            return Err(there_already(key));
        }
        // Not the root: a folder that vanished must not come back empty.
        let halves = self.root.join(HALVES);
        match fs::DirBuilder::new().mode(0o700).create(&halves) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
        .during("can't use the folder")?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number};{};{}", std::process::id(), how.run, key.replace('/', ","));
        let half = halves.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
        Ok(Box::new(Half {
            file,
            half,
            target,
            key: key.to_owned(),
            if_absent: how.if_absent,
            finished: false,
        }))
    }

    fn open(&self, _: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        let path = self.path(key)?;
        if object(key, &path)?.is_none() {
            return Err(Error::new(ErrorKind::NotFound, format!("no object `{key}`")));
        }
        let mut file = File::open(path)?;
        let Some(range) = range else { return Ok(Box::new(file)) };
        file.seek(SeekFrom::Start(range.offset))?;
        Ok(Box::new(file.take(range.length.unwrap_or(u64::MAX))))
    }

    fn stat(&self, _: &Context, key: &str) -> Result<Option<Object>> {
        object(key, &self.path(key)?)
    }

    fn list(&self, _: &Context, what: &ListOptions) -> Result<Page> {
        Ok(page(self.objects()?, what))
    }

    fn delete(&self, _: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        let delete = |key: &String| match fs::remove_file(self.path(key)?) {
            Err(error) if !is_absent(&error) => Err(error.into()),
            _ => Ok(()),
        };
        Ok(keys.iter().map(delete).collect())
    }

    fn leftovers(&self, _: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        let Ok(entries) = fs::read_dir(self.root.join(HALVES)) else { return Ok(Vec::new()) };
        let mut leftovers = Vec::new();
        for entry in entries {
            let handle = entry?.file_name().to_string_lossy().into_owned();
            let mut parts = handle.splitn(3, ';').skip(1);
            let (run, key) =
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().replace(',', "/"));
            if key.starts_with(prefix) {
                leftovers.push(Leftover { run: run.to_owned(), key, handle, ..Leftover::default() });
            }
        }
        Ok(leftovers)
    }

    fn discard(&self, _: &Context, leftovers: &[Leftover]) -> Result<()> {
        for leftover in leftovers.iter().filter(|leftover| !leftover.handle.contains('/')) {
            match fs::remove_file(self.root.join(HALVES).join(&leftover.handle)) {
                Err(error) if !is_absent(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn check(&self, _: &Context) -> Result<StorageReport> {
        fs::read_dir(&self.root).during_with(|| format!("can't use `{}`", self.root.display()))?;
        Ok(StorageReport::default())
    }

    fn by_hand(&self, key: &str) -> Option<String> {
        Some(format!("cat '{}/{key}'", self.root.display()))
    }
}

/// An object on its way.
struct Half {
    file: File,
    half: PathBuf,
    target: PathBuf,
    key: String,
    if_absent: bool,
    finished: bool,
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Upload for Half {
    fn finish(&mut self) -> Result<()> {
        self.finished = true;
        Ok(())
    }

    fn publish(self: Box<Self>) -> Result<Stored> {
        if !self.finished {
            return Err(Error::failed("the upload isn't finished"));
        }
        let size_bytes = self.file.metadata()?.len();
        // The half is looked up first: what vanished with its folder must not bring the folder back.
        fs::metadata(&self.half).during("the half upload is gone")?;
        if let Some(folder) = self.target.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        if self.if_absent {
            match fs::hard_link(&self.half, &self.target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(there_already(&self.key));
                }
                result => result?,
            }
        } else {
            fs::rename(&self.half, &self.target)?;
        }
        Ok(Stored { size_bytes, ..Stored::default() })
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        // After a publish by rename there is nothing of this name.
        let _ = fs::remove_file(&self.half);
    }
}

fn there_already(key: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("the object `{key}` is already there"))
}
