//! Snapshots made through random chains: each restores, and a changed bit of any of their objects is found by every way of
//! reading, named, and applied by none.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use windlass_host::catalog::{Catalog, Found, SnapshotKey};
use windlass_host::exit::{Exit, Outcome};
use windlass_host::pipeline::copies::Held;
use windlass_host::pipeline::outputs::OpenStorage;
use windlass_host::pipeline::restore::{Request, restore};
use windlass_host::pipeline::verify::{Depth, verify};
use windlass_host::report::Event;
use windlass_plugin_api::{Context, Kind, RestoreMode};

use crate::bits::flipped;
use crate::common::{Sandbox, database, rows};
use crate::engine::Workshop;
use crate::random;

/// A place where snapshots are made by the binary and read by the engine of this process.
struct Shop {
    sandbox: Sandbox,
    workshop: Workshop,
    storage: OpenStorage,
    cx: Context,
}

/// A snapshot of it, and its objects.
struct Snapshot<'a> {
    shop: &'a Shop,
    key: SnapshotKey,
    folder: PathBuf,
    objects: Vec<String>,
}

impl Shop {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        fs::create_dir(sandbox.path("place")).unwrap();
        let workshop = Workshop::new(&sandbox.path(""));
        let cx = workshop.engine.context("", &workshop.engine.cancel);
        let options = json!({ "root": sandbox.path("store") }).as_object().unwrap().clone();
        let chosen = workshop.chosen(Kind::Storage, "fs", options);
        let storage = workshop.engine.open_storage(&chosen, &cx).unwrap();
        Self { sandbox, workshop, storage, cx }
    }

    /// The config of a pipeline with these filters.
    fn config(&self, picks: &[usize]) {
        let all = &self.workshop.filters;
        let chain: Vec<_> = picks.iter().map(|pick| &all[pick % all.len()]).collect();
        let filters: Vec<String> = chain.iter().map(|(filter, ready)| filter.in_config(ready)).collect();
        let decode: String = all.iter().map(|(filter, ready)| filter.decode_section(ready)).collect();
        self.sandbox.config(&format!(
            "[source.it]\nplugin = \"sqlite\"\npath = \"place/shop.db\"\n\
             [pipeline.shop]\nsource = \"it\"\nstorage = \"fs:store\"\nfilters = [{}]\n{decode}",
            filters.join(", ")
        ));
    }

    /// The only snapshot of a fresh database. Afterwards the database is another one.
    fn snapshot(&self, picks: &[usize], count: u32) -> (Snapshot<'_>, String) {
        self.config(picks);
        let path = self.sandbox.path("place/shop.db");
        let _ = (fs::remove_file(&path), fs::remove_dir_all(self.sandbox.path("store/web1")));
        database(&path, "delete", count).close().unwrap();
        let whole = rows(&path);
        self.sandbox.ok(&["-q", "backup"]);
        database(&path, "delete", 1).close().unwrap();
        let folder = self.sandbox.object("shop", "");
        let id = folder.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let key = SnapshotKey { host: "web1".to_owned(), pipeline: "shop".to_owned(), id };
        let objects =
            self.sandbox.files(folder.strip_prefix(self.sandbox.path("")).unwrap().to_str().unwrap());
        (Snapshot { shop: self, key, folder, objects }, whole)
    }
}

impl Snapshot<'_> {
    fn found(&self) -> Found {
        let catalog = Catalog::new(self.shop.storage.storage.as_ref(), &self.shop.cx);
        Found { key: self.key.clone(), manifest: catalog.manifest(&self.key), is_recalled: false }
    }

    /// How a verify ends, and what it names as damaged.
    fn verify(&self, depth: Depth) -> (Exit, String) {
        let workshop = &self.shop.workshop;
        workshop.said.take();
        let exit = verify(&workshop.engine, &self.shop.storage, &self.found(), depth).unwrap();
        let damage = workshop.said.take().into_iter().find_map(|event| match event {
            Event::Verified { damage, .. } => Some(damage.join("\n")),
            _ => None,
        });
        (exit, damage.unwrap())
    }

    fn restore(&self) -> Outcome<Exit> {
        let manifest = self.found().manifest?;
        let workshop = &self.shop.workshop;
        let path = json!({ "path": self.shop.sandbox.path("place/shop.db") });
        let request = Request {
            to: workshop.chosen(Kind::Source, "sqlite", path.as_object().unwrap().clone()),
            mode: RestoreMode::Replace,
            only: Vec::new(),
            dry_run: false,
            pipelines: Vec::new(),
            confirm: Arc::new(|_| Ok(())),
        };
        let held = Held { manifest, copies: vec![self.shop.storage.clone()] };
        restore(&workshop.engine, &held, &request)
    }

    /// What must hold while a bit of `object` is another one.
    fn is_found(&self, object: &str) -> Result<(), String> {
        for depth in [Depth::Stored, Depth::Full] {
            let (exit, damage) = self.verify(depth);
            let named = if object == "manifest.json" { "manifest" } else { object };
            if exit != Exit::Damaged || !damage.contains(named) {
                return Err(format!("verify {depth:?} ends with {exit:?} and names `{damage}`"));
            }
        }
        // A restore doesn't read the instructions for people.
        if object == "RESTORE.txt" {
            return Ok(());
        }
        let target = self.shop.sandbox.path("place/shop.db");
        let before = fs::read(&target).unwrap();
        let told = match self.restore() {
            Err(failure) if failure.exit == Exit::Damaged => Ok(()),
            other => Err(format!("restore ends with {other:?}")),
        };
        let is_untouched = fs::read(&target).unwrap() == before;
        let beside = self.shop.sandbox.files("place");
        match is_untouched && beside == ["shop.db"] {
            true => told,
            false => Err(format!("the target has changed, or there is more beside it: {beside:?}")),
        }
    }
}

#[test]
fn a_changed_bit_of_any_object_is_named_by_verify_and_kept_from_every_restore() {
    let shop = Shop::new();
    let picks = prop::collection::vec(0..1_000_usize, 0..=4);
    let bits = prop::collection::vec(any::<prop::sample::Index>(), 4);
    random(30, (picks, 0..6_u32, bits), |(picks, count, bits)| {
        let (snapshot, whole) = shop.snapshot(&picks, count);
        prop_assert_eq!(snapshot.objects.len(), 4, "{:?}", snapshot.objects);
        for object in &snapshot.objects {
            let path = snapshot.folder.join(object);
            let good = fs::read(&path).unwrap();
            for bit in bits.iter().map(|bit| bit.index(good.len() * 8)) {
                fs::write(&path, flipped(&good, bit)).unwrap();
                let found = snapshot.is_found(object);
                prop_assert!(found.is_ok(), "bit {} of byte {} of {object}: {found:?}", bit % 8, bit / 8);
            }
            fs::write(&path, good).unwrap();
        }
        prop_assert_eq!(snapshot.verify(Depth::Full), (Exit::Ok, String::new()));
        prop_assert_eq!(snapshot.restore().unwrap(), Exit::Ok);
        prop_assert_eq!(rows(&shop.sandbox.path("place/shop.db")), whole);
        Ok(())
    });
}

/// The same through the command line, whose exit codes are what scripts see.
#[test]
fn the_binary_ends_with_exit_4_for_a_changed_bit_of_any_object_and_names_it() {
    let shop = Shop::new();
    let picks = prop::collection::vec(0..1_000_usize, 1..=4);
    random(4, (picks, any::<prop::sample::Index>()), |(picks, place)| {
        let (snapshot, whole) = shop.snapshot(&picks, 3);
        let target = shop.sandbox.path("place/shop.db");
        let before = fs::read(&target).unwrap();
        let run = |arguments: &[&str]| {
            let ran = shop.sandbox.run(arguments);
            (ran.code, ran.stdout + &ran.stderr)
        };
        let restore = ["restore", "shop", "--mode", "replace", "--yes"];
        for object in &snapshot.objects {
            let path = snapshot.folder.join(object);
            let good = fs::read(&path).unwrap();
            fs::write(&path, flipped(&good, place.index(good.len() * 8))).unwrap();
            for depth in [&["verify", "shop"][..], &["verify", "shop", "--full"]] {
                let (code, said) = run(depth);
                let named = if object == "manifest.json" { "manifest" } else { object };
                prop_assert!(code == 4 && said.contains(named), "{depth:?}: {object}: {code} {said}");
            }
            if object != "RESTORE.txt" {
                let (code, said) = run(&restore);
                prop_assert!(code == 4 && fs::read(&target).unwrap() == before, "{object}: {code} {said}");
            }
            fs::write(&path, good).unwrap();
        }
        let (code, said) = run(&restore);
        prop_assert!(code == 0 && rows(&target) == whole, "{code} {said}");
        Ok(())
    });
}
