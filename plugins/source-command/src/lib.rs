//! Windlass source: any pair of dump and restore commands
