//! What a plugin file says of itself, read without running any of it.
//!
//! `dlopen` runs constructors, dies with a signal on a truncated file, and reports another machine's library as "no such
//! file". So the file is read as plain bytes first: its ELF header, its tables and one section, through a cache that
//! fetches only these (tens of microseconds, whatever the file's size). Loading is the next step, and not done here;
//! who may have written the file is [`discover::trusted`](super::discover::trusted)'s question.

mod machine;

use std::fs::File;
use std::path::Path;

use object::Endianness;
use object::elf::{self, FileHeader64, SectionHeader64, Sym64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::read::{ReadCache, ReadRef};
use semver::Version;
use windlass_plugin_api::ffi::root::SYMBOL;
use windlass_plugin_api::info::SECTION;
use windlass_plugin_api::{API_VERSION, During, Error, ErrorKind, PluginInfo, Result, export};

use super::discover::{file_name, in_file_names, parse_file_name};

/// More than any description takes (the largest are about 20 KiB): a section that claims more isn't read.
const MAX_DESCRIPTION_BYTES: u64 = 4 << 20;

type Elf = FileHeader64<Endianness>;
type Bytes<'a> = &'a ReadCache<File>;

/// Reads the description of the plugin at `path` and judges whether this host could load it.
///
/// `path` is the file as it was found: its name must be the one of the plugin it says it is.
///
/// # Errors
///
/// One line with the path: of kind [`Damaged`](ErrorKind::Damaged) for a truncated or garbled file,
/// [`Unsupported`](ErrorKind::Unsupported) for one that isn't for this host, else the system's error.
pub fn inspect(path: &Path) -> Result<PluginInfo> {
    read(path).during_with(|| format!("can't use the plugin file `{}`", path.display()))
}

fn read(path: &Path) -> Result<PluginInfo> {
    // A pipe of that name would block the `open`.
    if !std::fs::metadata(path)?.is_file() {
        return Err(unsupported("it is not a regular file"));
    }
    let data = &ReadCache::new(File::open(path)?);
    machine::fits_this_machine(data)?;
    let tables = Tables::read(data)?;
    let section = tables.description()?;
    let info = export::read_description(section).map_err(|error| of_another_api(section).unwrap_or(error))?;
    fits_this_host(&info)?;
    // Only now: a plugin for another api has another symbol, and its version says more.
    if !tables.exports(SYMBOL)? {
        return Err(unsupported(format!("it has a description but doesn't export `{SYMBOL}`"))
            .hint("Build it as a `cdylib` with `export_plugin!`, for this host's windlass-plugin-api."));
    }
    fits_its_name(&info, path)?;
    Ok(info)
}

/// The tables of a shared library of which everything that a loader would map is there.
struct Tables<'a> {
    data: Bytes<'a>,
    endian: Endianness,
    sections: &'a [SectionHeader64<Endianness>],
    /// The bytes of the table of section names.
    names: &'a [u8],
}

impl<'a> Tables<'a> {
    fn read(data: Bytes<'a>) -> Result<Self> {
        let length = data.len().map_err(|()| unreadable("its size"))?;
        let within = |what: &str, offset: u64, size: u64| {
            let end = offset.saturating_add(size);
            if end <= length { Ok(()) } else { Err(truncated(what, end, length)) }
        };
        let header = Elf::parse(data).map_err(|error| garbled("header", error))?;
        let endian = header.endian().map_err(|error| garbled("header", error))?;
        let table = |size: u16, count: u16| u64::from(size) * u64::from(count);
        let (segment_bytes, segment_count) = (header.e_phentsize(endian), header.e_phnum(endian));
        within("its segment table", header.e_phoff(endian), table(segment_bytes, segment_count))?;
        let (section_bytes, section_count) = (header.e_shentsize(endian), header.e_shnum(endian));
        within("its section table", header.e_shoff(endian), table(section_bytes, section_count))?;

        // What `dlopen` maps and the file doesn't have kills the process with SIGBUS.
        let segments =
            header.program_headers(endian, data).map_err(|error| garbled("segment table", error))?;
        for segment in segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD) {
            within("a segment", segment.p_offset(endian), segment.p_filesz(endian))?;
        }
        let sections =
            header.section_headers(endian, data).map_err(|error| garbled("section table", error))?;
        for section in sections.iter().filter(|section| section.sh_type(endian) != elf::SHT_NOBITS) {
            within("a section", section.sh_offset(endian), section.sh_size(endian))?;
        }
        let mut tables = Self { data, endian, sections, names: &[] };
        if !sections.is_empty() {
            let index = header
                .section_strings_index(endian, data)
                .map_err(|error| garbled("section names", error))?;
            tables.names = tables.bytes(index.0, "section names")?;
        }
        Ok(tables)
    }

    fn bytes(&self, section: usize, what: &str) -> Result<&'a [u8]> {
        let section = self.sections.get(section).ok_or_else(|| damaged(format!("its {what} are missing")))?;
        section.data(self.endian, self.data).map_err(|error| garbled(what, error))
    }

    /// The bytes of the section that `export_plugin!` makes.
    fn description(&self) -> Result<&'a [u8]> {
        let is_it = |section: &SectionHeader64<Endianness>| {
            string_at(self.names, section.sh_name(self.endian)) == Some(SECTION.as_bytes())
        };
        let Some(index) = self.sections.iter().position(is_it) else {
            return Err(unsupported(format!("it is not a Windlass plugin: it has no section `{SECTION}`"))
                .hint(
                    "If it is meant to be one, build it with `export_plugin!` and its `export` feature on.",
                ));
        };
        let claimed = self.sections[index].sh_size(self.endian);
        if claimed > MAX_DESCRIPTION_BYTES {
            return Err(damaged(format!("its description claims to have {claimed} bytes")));
        }
        self.bytes(index, "description")
    }

    /// Whether `symbol` can be found from outside.
    fn exports(&self, symbol: &str) -> Result<bool> {
        let is_table =
            |section: &&SectionHeader64<Endianness>| section.sh_type(self.endian) == elf::SHT_DYNSYM;
        let Some(table) = self.sections.iter().find(is_table) else { return Ok(false) };
        let names = self.bytes(table.sh_link(self.endian) as usize, "symbol names")?;
        let symbols: &[Sym64<Endianness>] =
            table.data_as_array(self.endian, self.data).map_err(|error| garbled("symbol table", error))?;
        let is_it = |candidate: &Sym64<Endianness>| {
            string_at(names, candidate.st_name(self.endian)) == Some(symbol.as_bytes())
                && !candidate.is_undefined(self.endian)
                && !candidate.is_local()
        };
        Ok(symbols.iter().any(is_it))
    }
}

fn string_at(table: &[u8], offset: u32) -> Option<&[u8]> {
    let rest = table.get(offset as usize..)?;
    rest.split(|byte| *byte == 0).next()
}

/// Judges what the plugin says of itself, in the words of one line: abi_stable would say the same in thousands.
fn fits_this_host(info: &PluginInfo) -> Result<()> {
    let theirs = version("api version", &info.api)?;
    version("version", &info.version)?;
    if let Some(error) = other_major(&theirs) {
        return Err(error);
    }
    if info.panic != "unwind" {
        return Err(unsupported(format!(
            "it is built with `panic = \"{}\"`: a fault in it would end the whole process without cleaning up",
            info.panic
        ))
        .hint("Build it with `panic = \"unwind\"` in the profile of its Cargo.toml."));
    }
    Ok(())
}

fn version(what: &str, text: &str) -> Result<Version> {
    Version::parse(text)
        .map_err(|error| damaged(format!("its {what} `{text}` is not a version")).because(&error))
}

fn other_major(theirs: &Version) -> Option<Error> {
    let ours = Version::parse(API_VERSION).ok()?;
    let hint = match theirs.major.cmp(&ours.major) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Greater => "Use a newer windlass, or an older release of the plugin.".to_owned(),
        std::cmp::Ordering::Less => {
            format!(
                "Use a newer release of the plugin, or rebuild it against windlass-plugin-api {}.",
                ours.major
            )
        }
    };
    let message = format!("it is built against windlass-plugin-api {theirs}, this host speaks {ours}");
    Some(unsupported(message).hint(hint))
}

/// A description that this api can't read may be of another one, and that is then the fault to tell.
fn of_another_api(section: &[u8]) -> Option<Error> {
    let json = section.splitn(2, |byte| *byte == b'\n').nth(1)?.trim_ascii_end();
    let description: serde_json::Value = serde_json::from_slice(json).ok()?;
    other_major(&Version::parse(description.get("api")?.as_str()?).ok()?)
}

fn fits_its_name(info: &PluginInfo, path: &Path) -> Result<()> {
    let named = path.file_name().and_then(parse_file_name);
    if named == Some((info.kind, in_file_names(&info.vendor), in_file_names(&info.name))) {
        return Ok(());
    }
    let expected = file_name(info.kind, &info.vendor, &info.name);
    Err(unsupported(format!(
        "it says that it is the {} `{}`, whose file is called `{expected}`",
        info.kind,
        info.short_name()
    ))
    .hint("Give the file its own name back: a plugin is found by it."))
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, message)
}

fn damaged(message: impl Into<String>) -> Error {
    Error::damaged(message).hint("Install or build the plugin again.")
}

fn truncated(what: &str, end: u64, length: u64) -> Error {
    damaged(format!("it is truncated: {what} ends at byte {end}, the file has {length}"))
}

fn garbled(what: &str, error: object::read::Error) -> Error {
    damaged(format!("its {what} can't be read")).because(&error)
}

fn unreadable(what: &str) -> Error {
    Error::failed(format!("{what} can't be read"))
}

#[cfg(test)]
mod tests;
