//! The interface of ml-kem 0.3, as far as russh uses it, over ml-kem 0.2.
//!
//! Each stands on its own version of the crate `kem`, and Cargo takes the two for compatible, though their traits differ: one
//! workspace can't hold both, and age needs ml-kem 0.2. Both are the same algorithm of the same authors (FIPS 203). No
//! cryptography is here: bytes go to ml-kem 0.2 and come back. It goes as soon as age needs ml-kem 0.3.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use ml_kem_02::kem::{Decapsulate as _, Encapsulate as _};
use ml_kem_02::{EncodedSizeUser, KemCore};
use rand_core::OsRng;

type Inner = ml_kem_02::MlKem768;
type InnerPrivate = <Inner as KemCore>::DecapsulationKey;
type InnerPublic = <Inner as KemCore>::EncapsulationKey;

/// Bytes of a public key.
const PUBLIC_BYTES: usize = 1184;
/// Bytes of a ciphertext.
const CIPHERTEXT_BYTES: usize = 1088;

/// ml-kem 0.2 has an error type and no error, as the standard has none.
const NEVER: &str = "ML-KEM has no errors";

/// What both sides have in the end.
pub type SharedKey = [u8; 32];
/// What the public key's side sends.
pub type Ciphertext<K> = <K as Kem>::Ciphertext;

/// Bytes of the wrong length.
#[derive(Debug)]
pub struct InvalidKey;

/// A set of parameters.
pub trait Kem {
    /// What the public key's side sends.
    type Ciphertext;
    /// The private key.
    type DecapsulationKey;
    /// The public key.
    type EncapsulationKey;

    /// A new pair. The system's randomness is taken, whatever `rng` is.
    fn generate_keypair_from_rng<R>(rng: &mut R) -> (Self::DecapsulationKey, Self::EncapsulationKey);
}

/// ML-KEM-768.
pub struct MlKem768;

impl Kem for MlKem768 {
    type Ciphertext = [u8; CIPHERTEXT_BYTES];
    type DecapsulationKey = Private;
    type EncapsulationKey = Public;

    fn generate_keypair_from_rng<R>(_: &mut R) -> (Private, Public) {
        let (private, public) = Inner::generate(&mut OsRng);
        (Private(private), Public(public))
    }
}

/// A private key of ML-KEM-768.
pub struct Private(InnerPrivate);

/// A public key of ML-KEM-768.
pub struct Public(InnerPublic);

/// A key as bytes.
pub trait KeyExport {
    /// Its bytes.
    fn to_bytes(&self) -> [u8; PUBLIC_BYTES];
}

impl KeyExport for Public {
    fn to_bytes(&self) -> [u8; PUBLIC_BYTES] {
        self.0.as_bytes().into()
    }
}

/// A key out of bytes.
pub trait TryKeyInit: Sized {
    /// Of the right length, or an error.
    fn new_from_slice(bytes: &[u8]) -> Result<Self, InvalidKey>;
}

impl TryKeyInit for Public {
    fn new_from_slice(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let bytes: [u8; PUBLIC_BYTES] = bytes.try_into().map_err(|_| InvalidKey)?;
        Ok(Self(InnerPublic::from_bytes(&bytes.into())))
    }
}

/// Where ml-kem has them.
pub mod kem {
    use super::*;

    /// A private key.
    pub type DecapsulationKey<K> = <K as Kem>::DecapsulationKey;
    /// A public key.
    pub type EncapsulationKey<K> = <K as Kem>::EncapsulationKey;

    /// The private key's side.
    pub trait Decapsulate {
        /// What it sends and what both have; never an error, by the standard.
        fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_BYTES]) -> SharedKey;
    }

    impl Decapsulate for Private {
        fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_BYTES]) -> SharedKey {
            self.0.decapsulate(&(*ciphertext).into()).expect(NEVER).into()
        }
    }

    /// The public key's side.
    pub trait Encapsulate {
        /// A new secret. The system's randomness is taken, whatever `rng` is.
        fn encapsulate_with_rng<R>(&self, rng: &mut R) -> ([u8; CIPHERTEXT_BYTES], SharedKey);
    }

    impl Encapsulate for Public {
        fn encapsulate_with_rng<R>(&self, _: &mut R) -> ([u8; CIPHERTEXT_BYTES], SharedKey) {
            let (ciphertext, shared) = self.0.encapsulate(&mut OsRng).expect(NEVER);
            (ciphertext.into(), shared.into())
        }
    }
}
