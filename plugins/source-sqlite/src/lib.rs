//! Windlass source: SQLite databases
