//! The folder that half uploads lie in: made by the first who needs it, removed by the last who leaves it.

use windlass_folder::key::{AREA, half_name};
use windlass_plugin_api::{Context, Error, ErrorKind, Result};

use crate::folder::{ATTEMPTS, Folder};
use crate::protocol::{Kind, Session};
use crate::sending::Sending;

/// Begins the file, and what is above it as far as it's missing. Its name below the root.
pub async fn begin(folder: &Folder, cx: &Context, key: &str, run: &str) -> Result<(String, Sending)> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let name = format!("{AREA}/{}", half_name(run, key));
        let mut ftp = folder.link.lease(cx).await?;
        match folder.look(&mut ftp, AREA).await?.map(|area| area.kind) {
            Some(Kind::Folder) => {}
            Some(_) => {
                let shown = folder.shown(AREA);
                return Err(Error::new(ErrorKind::AlreadyExists, format!("`{shown}` isn't a folder")));
            }
            None => {
                folder.make_root(&mut ftp).await?;
                folder.make_one(&mut ftp, AREA).await?;
            }
        }
        match Sending::begin(folder, ftp, &name).await {
            Ok(sending) => return Ok((name, sending)),
            // The one who was last in the area took it away.
            Err(fault) if fault.may_be_absent() => {
                let mut ftp = folder.link.lease(cx).await?;
                if folder.look(&mut ftp, AREA).await?.is_some() && last.as_ref() == Some(&fault) {
                    let error = folder.failed("create", key, &fault);
                    remove_area(folder, &mut ftp).await;
                    return Err(error);
                }
                last = Some(fault);
            }
            Err(fault) => {
                let error = folder.failed("create", key, &fault);
                if let Ok(mut ftp) = folder.link.lease(cx).await {
                    remove_area(folder, &mut ftp).await;
                }
                return Err(error);
            }
        }
    }
    Err(Error::failed(format!("`{}` is removed again and again", folder.shown(AREA))))
}

/// Removes the area if nobody uses it.
pub async fn remove_area(folder: &Folder, ftp: &mut Session) {
    let _ = ftp.rmdir(&folder.path(AREA)).await;
}
