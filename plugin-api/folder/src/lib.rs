//! What storages that keep objects as files in a folder have in common, whatever they reach it by.
//!
//! Keys as paths, addresses of servers, the names of half uploads, and what belongs to a page of a listing. Only text: nothing here touches a disk or
//! a line.

pub mod address;
pub mod key;
pub mod page;
