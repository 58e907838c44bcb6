//! Small libraries made by hand, each with one fault, and the line that it gets.

use std::fs;
use std::path::PathBuf;

use super::*;

const HEADER: usize = 64;
const SEGMENT: usize = 56;

/// A shared library of a few hundred bytes: one segment, a symbol table, a description.
struct Library {
    machine: u16,
    class: u8,
    order: u8,
    system: u8,
    elf_type: u16,
    description: Option<Vec<u8>>,
    symbol: &'static str,
    symbol_section: u16,
}

impl Default for Library {
    fn default() -> Self {
        Self::described(&[])
    }
}

impl Library {
    /// A good plugin, but for what `changes` say of it.
    fn described(changes: &[(&str, &str)]) -> Self {
        let mut json = serde_json::json!({
            "kind": "filter", "name": "gzip", "version": "0.1.0", "api": API_VERSION, "panic": "unwind", "options": {},
        });
        for (key, value) in changes {
            json[key] = (*value).into();
        }
        Self::with(format!("{}{json}\n", windlass_plugin_api::info::MAGIC).into_bytes())
    }

    fn with(description: Vec<u8>) -> Self {
        Self {
            machine: machine::HOST.number,
            class: 2,
            order: 1,
            system: 0,
            elf_type: 3,
            description: Some(description),
            symbol: SYMBOL,
            symbol_section: 1,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let names = format!("\0.names\0.dynstr\0.dynsym\0{SECTION}\0").into_bytes();
        let strings = format!("\0{}\0", self.symbol).into_bytes();
        let mut symbols = vec![0; 24];
        symbols.extend(1u32.to_le_bytes());
        symbols.extend([0x11, 0]);
        symbols.extend(self.symbol_section.to_le_bytes());
        symbols.extend([0; 16]);

        let mut body = vec![0; HEADER + SEGMENT];
        let mut table = vec![0; 64];
        let mut section = |name: u32, kind: u32, link: u32, entry: u64, content: &[u8]| {
            body.resize(body.len().next_multiple_of(8), 0);
            table.extend(name.to_le_bytes());
            table.extend(kind.to_le_bytes());
            table.extend([0; 16]);
            table.extend((body.len() as u64).to_le_bytes());
            table.extend((content.len() as u64).to_le_bytes());
            table.extend(link.to_le_bytes());
            table.extend([0; 12]);
            table.extend(entry.to_le_bytes());
            body.extend(content);
        };
        section(1, 3, 0, 0, &names);
        section(8, 3, 0, 0, &strings);
        section(16, 11, 2, 24, &symbols);
        if let Some(description) = &self.description {
            section(24, 1, 0, 0, description);
        }
        let loaded = body.len() as u64;
        body.resize(body.len().next_multiple_of(8), 0);
        let tables_at = body.len() as u64;
        let header = self.header(tables_at, (table.len() / 64) as u16);
        body[..HEADER].copy_from_slice(&header);
        body[HEADER] = 1;
        body[HEADER + 32..HEADER + 40].copy_from_slice(&loaded.to_le_bytes());
        body.extend(table);
        body
    }

    fn header(&self, sections_at: u64, sections: u16) -> Vec<u8> {
        let half = |value: u16| if self.order == 2 { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut header = vec![0x7f, b'E', b'L', b'F', self.class, self.order, 1, self.system];
        header.extend([0; 8]);
        header.extend(half(self.elf_type));
        header.extend(half(self.machine));
        header.extend(1u32.to_le_bytes());
        header.extend(0u64.to_le_bytes());
        header.extend((HEADER as u64).to_le_bytes());
        header.extend(sections_at.to_le_bytes());
        header.extend(0u32.to_le_bytes());
        for field in [HEADER as u16, SEGMENT as u16, 1, 64, sections, 1] {
            header.extend(field.to_le_bytes());
        }
        header
    }
}

fn inspect_bytes_as(name: &str, bytes: &[u8]) -> (PathBuf, Result<PluginInfo>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    (path.clone(), inspect(&path))
}

fn inspect_bytes(bytes: &[u8]) -> (PathBuf, Result<PluginInfo>) {
    inspect_bytes_as("libwindlass_filter_gzip.so", bytes)
}

/// The error names the file in one line, and goes on as `expected`.
#[track_caller]
fn refused(bytes: &[u8], kind: ErrorKind, expected: &str) -> Error {
    let (path, result) = inspect_bytes(bytes);
    let error = result.expect_err("it must be refused");
    let line = error.one_line();
    let start = format!("can't use the plugin file `{}`: ", path.display());
    assert!(line.starts_with(&start), "{line}");
    assert!(line[start.len()..].starts_with(expected), "{line}");
    assert_eq!(error.kind, kind, "{line}");
    error
}

#[test]
fn a_good_plugin_tells_what_it_is() {
    let (_, info) = inspect_bytes(&Library::default().bytes());
    let info = info.unwrap();
    assert_eq!((info.kind, info.full_name().as_str()), (windlass_plugin_api::Kind::Filter, "windlass/gzip"));
}

#[test]
fn what_is_no_shared_library_is_told_by_its_first_bytes() {
    let unsupported = |bytes: &[u8], line: &str| refused(bytes, ErrorKind::Unsupported, line);
    unsupported(b"hello, this is text", "it is not an ELF shared library");
    unsupported(b"#!/bin/sh\nexit 0\n", "it is not an ELF shared library (it is a script)");
    unsupported(b"MZ\x90\0", "it is not an ELF shared library (it is built for Windows)");
    unsupported(&[0xcf, 0xfa, 0xed, 0xfe, 7], "it is not an ELF shared library (it is built for macOS)");
    unsupported(
        &Library { elf_type: 1, ..Library::default() }.bytes(),
        "it is an object file, not a shared library",
    );
    unsupported(
        &Library { elf_type: 2, ..Library::default() }.bytes(),
        "it is a program, not a shared library",
    );
    refused(b"", ErrorKind::Damaged, "it is empty");
}

#[test]
fn another_machine_is_named_beside_this_one() {
    let host = machine::HOST.name();
    let built = |library: Library, line: String| refused(&library.bytes(), ErrorKind::Unsupported, &line);
    let (number, name) = if host == "aarch64" { (62, "x86-64") } else { (183, "aarch64") };
    built(
        Library { machine: number, ..Library::default() },
        format!("it is built for {name}, this host is {host}"),
    );
    built(
        Library { machine: 22, order: 2, ..Library::default() },
        format!("it is built for s390x, this host is {host}"),
    );
    built(
        Library { class: 1, ..Library::default() },
        format!(
            "it is built for {host} (32-bit, little-endian), this host is {host} (64-bit, little-endian)"
        ),
    );
    built(
        Library { order: 2, ..Library::default() },
        format!("it is built for {host} (64-bit, big-endian), this host is {host} (64-bit, little-endian)"),
    );
    built(
        Library { system: 9, ..Library::default() },
        "it is built for FreeBSD, this host is Linux".to_owned(),
    );
}

#[test]
fn a_file_cut_anywhere_is_refused_as_truncated() {
    let whole = Library::default().bytes();
    for length in 1..whole.len() {
        let error = refused(&whole[..length], ErrorKind::Damaged, "it is truncated: ");
        assert!(error.one_line().ends_with(&format!("the file has {length}")), "{error}");
    }
}

#[test]
fn a_segment_beyond_the_end_is_refused_though_all_tables_are_there() {
    let mut bytes = Library::default().bytes();
    let beyond = bytes.len() as u64 + 1;
    bytes[HEADER + 32..HEADER + 40].copy_from_slice(&beyond.to_le_bytes());
    refused(&bytes, ErrorKind::Damaged, "it is truncated: a segment ends at byte");
}

#[test]
fn garbage_in_any_byte_of_the_tables_never_panics() {
    let whole = Library::default().bytes();
    for at in 0..whole.len() {
        for value in [0, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            if let (_, Err(error)) = inspect_bytes(&bytes) {
                assert!(!error.one_line().contains('\n'));
            }
        }
    }
}

#[test]
fn a_foreign_library_is_not_a_windlass_plugin() {
    let foreign = Library { description: None, ..Library::default() };
    let error = refused(&foreign.bytes(), ErrorKind::Unsupported, "it is not a Windlass plugin");
    assert!(error.hint.unwrap().contains("export_plugin!"));
}

#[test]
fn a_garbled_description_is_damage_and_one_of_another_form_is_too_new() {
    let garbled = [windlass_plugin_api::info::MAGIC.as_bytes(), b"{\"kind\":"].concat();
    refused(&Library::with(garbled).bytes(), ErrorKind::Damaged, "its description can't be read");
    let binary = [windlass_plugin_api::info::MAGIC.as_bytes(), &[0xff, 0xfe]].concat();
    refused(&Library::with(binary).bytes(), ErrorKind::Damaged, "its description can't be read");
    let newer = b"windlass-plugin-7\n{}".to_vec();
    refused(&Library::with(newer).bytes(), ErrorKind::Unsupported, "its description is of an unknown form");
}

#[test]
fn another_major_api_is_told_with_both_versions() {
    let line = format!("it is built against windlass-plugin-api 2.1.0, this host speaks {API_VERSION}");
    let newer = Library::described(&[("api", "2.1.0")]);
    let error = refused(&newer.bytes(), ErrorKind::Unsupported, &line);
    assert_eq!(error.hint.unwrap(), "Use a newer windlass, or an older release of the plugin.");
    let other_entry =
        Library { symbol: "windlass_plugin_root_v2", ..Library::described(&[("api", "2.1.0")]) };
    refused(&other_entry.bytes(), ErrorKind::Unsupported, &line);
    let other_kind = Library::described(&[("api", "2.1.0"), ("kind", "hook")]);
    refused(&other_kind.bytes(), ErrorKind::Unsupported, &line);
    let older = refused(
        &Library::described(&[("api", "0.9.0")]).bytes(),
        ErrorKind::Unsupported,
        "it is built against windlass-plugin-api 0.9.0",
    );
    assert!(older.hint.unwrap().contains("rebuild it"));
}

#[test]
fn a_newer_minor_api_is_accepted() {
    let (_, info) = inspect_bytes(&Library::described(&[("api", "1.99.0"), ("colour", "red")]).bytes());
    assert_eq!(info.unwrap().extra["colour"], "red");
}

#[test]
fn a_plugin_that_would_abort_the_process_is_refused() {
    let aborts = Library::described(&[("panic", "abort")]);
    let error = refused(&aborts.bytes(), ErrorKind::Unsupported, "it is built with `panic = \"abort\"`");
    assert!(error.hint.unwrap().contains("panic = \"unwind\""));
}

#[test]
fn a_version_that_is_none_is_damage() {
    let api = Library::described(&[("api", "new")]);
    refused(&api.bytes(), ErrorKind::Damaged, "its api version `new` is not a version");
    let own = Library::described(&[("version", "1")]);
    refused(&own.bytes(), ErrorKind::Damaged, "its version `1` is not a version");
}

#[test]
fn a_plugin_without_its_entry_is_refused() {
    let line = format!("it has a description but doesn't export `{SYMBOL}`");
    let other = Library { symbol: "some_other_symbol", ..Library::default() };
    refused(&other.bytes(), ErrorKind::Unsupported, &line);
    let only_wanted = Library { symbol_section: 0, ..Library::default() };
    refused(&only_wanted.bytes(), ErrorKind::Unsupported, &line);
}

#[test]
fn a_plugin_in_a_file_of_another_name_is_refused() {
    let bytes = Library::described(&[("vendor", "acme"), ("name", "foo-bar")]).bytes();
    let (_, info) = inspect_bytes_as("libwindlass_filter_acme__foo_bar.so", &bytes);
    assert_eq!(info.unwrap().full_name(), "acme/foo-bar");
    for name in ["libwindlass_filter_foo_bar.so", "libwindlass_source_acme__foo_bar.so", "plugin.so"] {
        let (_, result) = inspect_bytes_as(name, &bytes);
        let line = result.unwrap_err().one_line();
        let expected = "it says that it is the filter `acme/foo-bar`, whose file is called \
                        `libwindlass_filter_acme__foo_bar.so`";
        assert!(line.contains(name) && line.ends_with(expected), "{line}");
    }
}

#[test]
fn a_pipe_with_a_plugins_name_is_refused_without_waiting_for_a_writer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("libwindlass_filter_gzip.so");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(inspect(&path).unwrap_err().one_line().ends_with("it is not a regular file"));
}

#[test]
fn a_missing_file_is_the_systems_error() {
    let error = inspect(Path::new("/nonexistent/libwindlass_filter_gzip.so")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.one_line().contains("/nonexistent/libwindlass_filter_gzip.so"));
}
