//! How long a plugin takes to load once its file is in the page cache: prints one JSON object, milliseconds by plugin.
//!
//! A library that is loaded stays loaded, so each sample is a process of its own. It measures what a run pays for each plugin:
//! reading its description, loading it, and the check that its layout fits. Calls into the plugin are not measured.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use windlass_host::plugins::discover::parse_file_name;
use windlass_host::plugins::{inspect, load};
use windlass_plugin_api::ffi::logging::LogLines;

/// Samples of a plugin; one more comes first and isn't counted.
const SAMPLES: usize = 21;

struct Deaf;

impl LogLines for Deaf {
    fn line(&self, _: u8, _: &str, _: &str, _: &str) {}
}

#[expect(clippy::print_stdout, reason = "its result")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [mode, file] if mode == "--one" => println!("{}", one(Path::new(file))?),
        [folder] => println!("{}", serde_json::to_string(&all(Path::new(folder))?)?),
        _ => return Err("usage: plugin_load FOLDER".into()),
    }
    Ok(())
}

fn one(file: &Path) -> Result<f64, Box<dyn Error>> {
    let begun = Instant::now();
    let info = inspect::inspect(file)?;
    load::load(file, &info, Arc::new(Deaf), 0)?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

fn all(folder: &Path) -> Result<BTreeMap<String, Vec<f64>>, Box<dyn Error>> {
    let mut plugins = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let file: PathBuf = entry?.path().canonicalize()?;
        // The plugins of the tests aren't anybody's to load.
        let Some((kind, _, name)) = file.file_name().and_then(parse_file_name) else { continue };
        if name == "misbehaving" {
            continue;
        }
        sample(&file)?;
        let samples = (0..SAMPLES).map(|_| sample(&file)).collect::<Result<_, _>>()?;
        plugins.insert(format!("{kind}-{name}"), samples);
    }
    Ok(plugins)
}

fn sample(file: &Path) -> Result<f64, Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?).arg("--one").arg(file).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
