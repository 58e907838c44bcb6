//! Whether a file is a shared library for the machine and system that this host runs on.
//!
//! Judged by the first bytes alone, by hand: the rest of an ELF file can be read only once these are known. The system's
//! loader would call another machine's library "no such file".

use object::elf;
use object::read::ReadRef;
use windlass_plugin_api::Result;

use super::{Bytes, Elf, damaged, truncated, unreadable, unsupported};

/// Judges the first bytes, which are at the same place in every ELF file, before anything else is taken from it.
pub fn fits_this_machine(data: Bytes<'_>) -> Result<()> {
    let length = data.len().map_err(|()| unreadable("its size"))?;
    let start = data.read_bytes_at(0, length.min(20)).map_err(|()| unreadable("its first bytes"))?;
    if start.is_empty() {
        return Err(damaged("it is empty"));
    }
    if !start.starts_with(&elf::ELFMAG[..start.len().min(4)]) {
        return Err(unsupported(format!("it is not an ELF shared library{}", of_another_system(start))));
    }
    if length < size_of::<Elf>() as u64 {
        return Err(truncated("its header", size_of::<Elf>() as u64, length));
    }
    let little_endian = start[5] != 2;
    let half = |at: usize| {
        let bytes = [start[at], start[at + 1]];
        if little_endian { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
    };
    let built_for = Machine { number: half(18), bits: if start[4] == 1 { 32 } else { 64 }, little_endian };
    if built_for != HOST {
        let (theirs, ours) = built_for.beside(HOST);
        return Err(unsupported(format!("it is built for {theirs}, this host is {ours}")));
    }
    if let Some(system) = system_name(start[7]) {
        return Err(unsupported(format!("it is built for {system}, this host is Linux")));
    }
    match half(16) {
        3 => Ok(()),
        1 => Err(unsupported("it is an object file, not a shared library")),
        2 => Err(unsupported("it is a program, not a shared library")),
        other => Err(unsupported(format!("it is an ELF file of type {other}, not a shared library"))),
    }
}

fn of_another_system(start: &[u8]) -> &'static str {
    match start {
        [b'M', b'Z', ..] => " (it is built for Windows)",
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => " (it is built for macOS)",
        [b'!', b'<', b'a', ..] => " (it is a static library)",
        [b'#', b'!', ..] => " (it is a script)",
        _ => "",
    }
}

/// The system that an ELF file's OS/ABI byte names; `None`: any, or ours.
fn system_name(abi: u8) -> Option<String> {
    Some(match abi {
        0 | 3 => return None,
        2 => "NetBSD".to_owned(),
        6 => "Solaris".to_owned(),
        9 => "FreeBSD".to_owned(),
        12 => "OpenBSD".to_owned(),
        other => format!("a system with OS/ABI number {other}"),
    })
}

/// What code is built for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// ELF's `e_machine`.
    pub number: u16,
    bits: u8,
    little_endian: bool,
}

pub const HOST: Machine = Machine {
    number: if cfg!(target_arch = "x86_64") {
        elf::EM_X86_64.0
    } else if cfg!(target_arch = "aarch64") {
        elf::EM_AARCH64.0
    } else if cfg!(target_arch = "riscv64") {
        elf::EM_RISCV.0
    } else {
        elf::EM_NONE.0
    },
    bits: usize::BITS as u8,
    little_endian: cfg!(target_endian = "little"),
};

impl Machine {
    pub fn name(self) -> String {
        let name = match elf::Machine(self.number) {
            elf::EM_386 => "i386",
            elf::EM_X86_64 => "x86-64",
            elf::EM_ARM => "arm",
            elf::EM_AARCH64 => "aarch64",
            elf::EM_RISCV => "risc-v",
            elf::EM_PPC64 => "ppc64",
            elf::EM_S390 => "s390x",
            elf::EM_LOONGARCH => "loongarch",
            elf::EM_MIPS => "mips",
            _ => return format!("machine number {}", self.number),
        };
        name.to_owned()
    }

    /// The names of both; where these don't tell them apart, with width and byte order.
    fn beside(self, other: Self) -> (String, String) {
        if self.number != other.number {
            return (self.name(), other.name());
        }
        let long = |machine: Self| {
            let order = if machine.little_endian { "little" } else { "big" };
            format!("{} ({}-bit, {order}-endian)", machine.name(), machine.bits)
        };
        (long(self), long(other))
    }
}
