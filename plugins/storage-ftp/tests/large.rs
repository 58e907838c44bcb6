//! An object larger than anything that may be held of it.

mod common;

use std::io::{self, Read, Write};

use windlass_plugin_api::Storage;
use windlass_test_servers::Vsftpd;
use windlass_testkit::codec::peaks_below;
use windlass_testkit::noise::Noise;

use common::{begun, cx, storage};

const SIZE: u64 = 64 * 1024 * 1024;

#[test]
fn a_large_object_goes_up_and_comes_down_in_bounded_memory() {
    peaks_below(48, "a_large_object_goes_up_and_comes_down_in_bounded_memory", || {
        let server = Vsftpd::start();
        let storage = storage(&server);
        let mut upload = begun(&storage, "large").unwrap();
        io::copy(&mut Noise::new(1).take(SIZE), &mut upload).unwrap();
        upload.finish().unwrap();
        assert_eq!(upload.publish().unwrap().size_bytes, SIZE);
        let mut reader = storage.open(&cx(), "large", None).unwrap();
        let mut same = Same(Noise::new(1));
        assert_eq!(io::copy(&mut reader, &mut same).unwrap(), SIZE);
        // As long as nobody reads, what comes ahead is bounded too.
        let idle: Vec<_> = (0..3).map(|_| storage.open(&cx(), "large", None).unwrap()).collect();
        let mut again = storage.open(&cx(), "large", None).unwrap();
        assert_eq!(io::copy(&mut again, &mut Same(Noise::new(1))).unwrap(), SIZE);
        drop(idle);
    });
}

/// Takes these bytes and no others.
struct Same(Noise);

impl Write for Same {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wanted = vec![0; bytes.len()];
        self.0.read_exact(&mut wanted)?;
        assert!(wanted == bytes, "other bytes came back");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
