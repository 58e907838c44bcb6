//! Windlass source: file trees, as pax tar
