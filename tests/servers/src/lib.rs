//! Real servers for the tests: of databases, and of what backups are stored on.
//!
//! Each is started for one test, on a free port of the loopback address and with a temporary data folder, and is gone
//! with its folder when the value is dropped, or when the test process dies, however it dies. A server of the machine
//! that happens to run is never used.
//!
//! ```no_run
//! let server = windlass_test_servers::Postgres::start(17);
//! server.sql("postgres", "create database shop");
//! assert_eq!(server.sql("shop", "select 1 + 1"), "2");
//! ```
//!
//! A server that isn't installed is a failed test that says how to install it, never a skipped one. What was
//! committed outlasts `stop` and `restart`, but not the machine: the servers don't wait for the disk.

mod azurite;
mod b2;
mod dav;
mod double;
mod dropbox;
mod etcd;
mod fake_gcs;
mod faulty;
mod folder;
mod ftp;
mod gdrive;
mod http;
mod mariadb;
mod mongo;
mod onedrive;
mod postgres;
mod process;
mod program;
mod rclone;
mod redis;
mod s3;
mod seaweed;
mod server;
mod sshd;
mod trouble;
mod web;

pub use azurite::Azurite;
pub use b2::{B2Double, B2State};
pub use dav::Dav;
pub use double::{Asked, Double, Said};
pub use dropbox::{DropboxDouble, DropboxState};
pub use etcd::Etcd;
pub use fake_gcs::FakeGcs;
pub use faulty::{Fault, Faulty};
pub use ftp::{Pyftpd, Vsftpd};
pub use gdrive::{DriveDouble, DriveState};
pub use mariadb::MariaDb;
pub use mongo::Mongo;
pub use onedrive::{OneDriveDouble, OneDriveState};
pub use postgres::Postgres;
pub use rclone::{RcloneFtp, RcloneSftp};
pub use redis::{Redis, Valkey};
pub use s3::{S3Double, S3State};
pub use seaweed::{Keys, Seaweed};
pub use sshd::Sshd;
pub use trouble::{Trouble, Troubles};
pub use web::Web;
