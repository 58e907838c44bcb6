//! Checking signatures: the bytes are hashed as they pass, and what follows them is held against the keys of those who may
//! sign.
//!
//! A key counts as it was when it signed: one that has expired since is no fault, one that may be known to others is.

use pgp::composed::SignedPublicKey;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    OnePassSignature, OpsVersionSpecific, Signature, SignatureType, SignatureVersion,
    SignatureVersionSpecific,
};
use pgp::types::{KeyVersion, SignatureBytes, Timestamp, VerifyingKey};
use sha1::digest::DynDigest;
use windlass_plugin_api::{Error, Result};

use crate::validity::{Chosen, Survey, Use};

/// How far a signer's clock may go before ours, in seconds.
const CLOCK_SKEW: u32 = 86_400;

/// The hash of the plain bytes for one signature that was announced.
pub struct Check {
    announced: OnePassSignature,
    /// None if a signature of this kind doesn't count.
    hasher: Option<Box<dyn DynDigest + Send>>,
}

impl Check {
    pub fn new(announced: OnePassSignature, is_wanted: bool) -> Self {
        let counts =
            is_wanted && announced.typ() == SignatureType::Binary && is_strong(announced.hash_algorithm());
        let mut hasher = counts.then(|| announced.hash_algorithm().new_hasher().ok()).flatten();
        if let (Some(hasher), OpsVersionSpecific::V6 { salt, .. }) =
            (&mut hasher, announced.version_specific())
        {
            hasher.update(salt);
        }
        Self { announced, hasher }
    }

    pub fn add(&mut self, plain: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(plain);
        }
    }

    /// Whether `signature` is the one that was announced, and one of `signers` made it over these bytes.
    fn holds(self, signature: &Signature, signers: &[SignedPublicKey]) -> bool {
        let (Some(mut hasher), Some(config), Some(bytes)) =
            (self.hasher, signature.config(), signature.signature())
        else {
            return false;
        };
        if !self.announced.matches(signature) || !has_salt(&self.announced, &config.version_specific) {
            return false;
        }
        let Ok(trailer) = config.hash_signature_data(&mut hasher).and_then(|length| config.trailer(length))
        else {
            return false;
        };
        hasher.update(&trailer);
        let hash = hasher.finalize();
        signature.signed_hash_value().is_some_and(|start| hash.starts_with(&start))
            && signers.iter().any(|signer| made(signer, signature, config.hash_alg, &hash, bytes))
    }
}

/// The salt was hashed before the first byte.
fn has_salt(announced: &OnePassSignature, said: &SignatureVersionSpecific) -> bool {
    match (announced.version_specific(), said) {
        (OpsVersionSpecific::V6 { salt, .. }, SignatureVersionSpecific::V6 { salt: said }) => {
            salt[..] == said[..]
        }
        (_, SignatureVersionSpecific::V6 { .. }) | (OpsVersionSpecific::V6 { .. }, _) => false,
        _ => true,
    }
}

/// Bytes with the same hash can't be made up.
fn is_strong(hash: HashAlgorithm) -> bool {
    !matches!(hash, HashAlgorithm::Md5 | HashAlgorithm::Sha1 | HashAlgorithm::Ripemd160)
}

/// Whether a part of `signer` made the signature, and might at that time.
fn made(
    signer: &SignedPublicKey,
    signature: &Signature,
    algorithm: HashAlgorithm,
    hash: &[u8],
    bytes: &SignatureBytes,
) -> bool {
    let Some(then) = signature.created() else { return false };
    let now = Timestamp::now().as_secs();
    let lasts = signature.signature_expiration_time().map_or(0, |seconds| seconds.as_secs());
    if then.as_secs() > now.saturating_add(CLOCK_SKEW)
        || (lasts > 0 && then.as_secs().saturating_add(lasts) <= now)
    {
        return false;
    }
    let fits = |key: &dyn VerifyingKey| {
        (key.version() == KeyVersion::V6) == (signature.version() == SignatureVersion::V6)
            && key.verify(algorithm, hash, bytes).is_ok()
    };
    let survey = Survey::new(signer, then);
    let subkeys = signer.public_subkeys.iter().enumerate();
    let mut subkeys =
        subkeys.filter(|(_, subkey)| fits(&subkey.key)).map(|(number, _)| Chosen::Subkey(number));
    let part = if fits(&signer.primary_key) { Some(Chosen::Primary) } else { subkeys.next() };
    part.is_some_and(|part| survey.holds(part, Use::Sign))
}

/// One of `signers` must have signed. The last signature belongs to the first that was announced.
pub fn verify(checks: Vec<Check>, signatures: &[Signature], signers: &[SignedPublicKey]) -> Result<()> {
    let mut pairs = checks.into_iter().zip(signatures.iter().rev());
    if pairs.any(|(check, signature)| check.holds(signature, signers)) {
        return Ok(());
    }
    Err(Error::damaged("no signature of one of the `signers` holds").hint(
        "Either somebody else made the stream, or its bytes were changed before they were encrypted, or the signer's key is missing in `signers`.",
    ))
}

/// Nothing is announced, and something was asked for.
pub fn unsigned() -> Error {
    Error::damaged("the stream isn't signed, and must be by one of the `signers`")
        .hint("What was made before anybody signed is read without `signers` in `[decode.openpgp]`.")
}
