//! What a public key is good for at a time, by what its owner signed: revoked, expired, and which of its subkeys may be
//! used for what. The rules are those of GnuPG.
//!
//! Only signatures of the key over itself count, and only those that hold; the newest of them tells about earlier times
//! too, for GnuPG drops the older ones. Whether its owner is who he says is not judged: the user named the key.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::packet::{KeyFlags, RevocationCode, Signature, SignatureType, SubpacketData};
use pgp::types::{Duration, KeyDetails, Tag, Timestamp};

/// Whether a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Good,
    Revoked,
    /// Since then.
    Expired(Timestamp),
    /// Made later than now: one of the clocks is wrong.
    Early,
    /// Its owner didn't sign it.
    Unsigned,
}

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Encrypt,
    Sign,
}

/// One that was chosen out of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    Primary,
    /// The subkey of this number.
    Subkey(usize),
}

/// What a key says of itself at a time.
pub struct Survey<'a> {
    key: &'a SignedPublicKey,
    at: Timestamp,
    /// Of the key as a whole.
    pub standing: Standing,
    /// Signatures that say what it is for, the one that counts most first.
    own: Vec<&'a Signature>,
    /// Names that hold.
    names: Vec<&'a [u8]>,
}

impl<'a> Survey<'a> {
    pub fn new(key: &'a SignedPublicKey, at: Timestamp) -> Self {
        let mut own = Vec::new();
        let mut names = Vec::new();
        let primary = &key.primary_key;
        let direct = key.details.direct_signatures.iter();
        let direct = newest(direct.filter(|signature| signature.verify_key(primary).is_ok()));
        for user in &key.details.users {
            let holds = |signature: &&Signature| {
                signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
            };
            if let Some(signature) = newest(user.signatures.iter().filter(holds))
                && signature.typ() != Some(SignatureType::CertRevocation)
            {
                own.push(signature);
                names.push(user.id.id());
            }
        }
        own.sort_by_key(|signature| std::cmp::Reverse(created(signature)));
        own.splice(0..0, direct);
        let revocations = key.details.revocation_signatures.iter();
        let revocations = revocations.filter(|signature| signature.verify_key(primary).is_ok());
        let expires = own.iter().find_map(|signature| signature.key_expiration_time());
        let standing = match lasts(primary.created_at(), expires, at) {
            Standing::Early => Standing::Early,
            _ if own.is_empty() => Standing::Unsigned,
            _ if is_revoked(revocations, at) => Standing::Revoked,
            standing => standing,
        };
        Self { key, at, standing, own, names }
    }

    /// Whether one of its names has the mail address, which is in small letters.
    pub fn has_address(&self, whole: &str) -> bool {
        let enclosed = format!("<{whole}>");
        let mut names = self.names.iter().map(|name| String::from_utf8_lossy(name).to_lowercase());
        names.any(|name| name == whole || name.ends_with(&enclosed))
    }

    /// It announces that it reads version 2 of the protected packet, and with which ciphers.
    pub fn reads_chunks(&self) -> bool {
        use pgp::crypto::{aead::AeadAlgorithm::Ocb, sym::SymmetricKeyAlgorithm::AES256};
        let features = self.own.iter().find_map(|signature| signature.features());
        let ciphers = self.own.iter().map(|signature| signature.preferred_aead_algs());
        let ciphers = ciphers.into_iter().find(|ciphers| !ciphers.is_empty()).unwrap_or_default();
        features.is_some_and(|features| features.seipd_v2()) && ciphers.contains(&(AES256, Ocb))
    }

    /// Which part of the key to use, as GnuPG does: the newest subkey that is for it and holds, else the key itself.
    /// Otherwise how the best of those stand that are for it; nothing if none is.
    pub fn choose(&self, what: Use, is_there: impl Fn(Chosen) -> bool) -> Result<Chosen, Option<Standing>> {
        let mut best: Option<(Timestamp, usize)> = None;
        let mut failed = None;
        for (number, subkey) in self.key.public_subkeys.iter().enumerate() {
            match self.of_subkey(subkey, what) {
                Some(Standing::Good) if is_there(Chosen::Subkey(number)) => {
                    let made = subkey.key.created_at();
                    if best.is_none_or(|(newest, _)| newest < made) {
                        best = Some((made, number));
                    }
                }
                Some(Standing::Good) | None => {}
                standing => failed = standing,
            }
        }
        match best {
            Some((_, number)) => Ok(Chosen::Subkey(number)),
            None if self.primary_is_for(what) && is_there(Chosen::Primary) => Ok(Chosen::Primary),
            None => Err(failed),
        }
    }

    fn primary_is_for(&self, what: Use) -> bool {
        let flags = self.own.iter().find_map(|signature| flags(signature));
        is_for(what, flags, self.key.primary_key.algorithm())
    }

    /// How a subkey stands, if it is for that use.
    pub fn of_subkey(&self, subkey: &SignedPublicSubKey, what: Use) -> Option<Standing> {
        let primary = &self.key.primary_key;
        let holds = |signature: &&Signature| signature.verify_subkey_binding(primary, &subkey.key).is_ok();
        let of = |kind| {
            subkey.signatures.iter().filter(move |signature| signature.typ() == Some(kind)).filter(holds)
        };
        let binding = newest(of(SignatureType::SubkeyBinding))?;
        if !is_for(what, flags(binding), subkey.key.algorithm()) {
            return None;
        }
        // One that signs must have signed that it belongs to this key: anybody could claim it.
        let claims = |back: &Signature| back.verify_primary_key_binding(&subkey.key, primary).is_ok();
        if what == Use::Sign && !binding.embedded_signature().is_some_and(claims) {
            return Some(Standing::Unsigned);
        }
        if is_revoked(of(SignatureType::SubkeyRevocation), self.at) {
            return Some(Standing::Revoked);
        }
        Some(lasts(subkey.key.created_at(), binding.key_expiration_time(), self.at))
    }

    /// Whether that part of the key may be used for it and holds.
    pub fn holds(&self, part: Chosen, what: Use) -> bool {
        self.standing == Standing::Good
            && match part {
                Chosen::Primary => self.primary_is_for(what),
                Chosen::Subkey(number) => {
                    self.of_subkey(&self.key.public_subkeys[number], what) == Some(Standing::Good)
                }
            }
    }
}

fn is_for(
    what: Use,
    flags: Option<KeyFlags>,
    algorithm: pgp::crypto::public_key::PublicKeyAlgorithm,
) -> bool {
    match what {
        Use::Encrypt => {
            let allows = |flags: KeyFlags| flags.encrypt_comms() || flags.encrypt_storage();
            algorithm.can_encrypt() && flags.is_none_or(allows)
        }
        Use::Sign => algorithm.can_sign() && flags.is_none_or(|flags| flags.sign()),
    }
}

/// What a signature allows, if it says so.
fn flags(signature: &Signature) -> Option<KeyFlags> {
    signature.config()?.hashed_subpackets().find_map(|packet| match &packet.data {
        SubpacketData::KeyFlags(flags) => Some(flags.clone()),
        _ => None,
    })
}

fn created(signature: &Signature) -> Timestamp {
    signature.created().unwrap_or(Timestamp::from_secs(0))
}

/// The newest that holds today.
fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    let now = Timestamp::now();
    let holds = |signature: &&Signature| {
        lasts(created(signature), signature.signature_expiration_time(), now) == Standing::Good
    };
    signatures.filter(holds).max_by_key(|signature| created(signature))
}

fn lasts(made: Timestamp, for_seconds: Option<Duration>, at: Timestamp) -> Standing {
    let seconds = for_seconds.map_or(0, Duration::as_secs);
    let end = Timestamp::from_secs(made.as_secs().saturating_add(seconds));
    match () {
        () if made > at => Standing::Early,
        () if seconds > 0 && end <= at => Standing::Expired(end),
        () => Standing::Good,
    }
}

/// A key that was only replaced or given up holds for what was done before; one that may be known to others never did.
fn is_revoked<'a>(mut revocations: impl Iterator<Item = &'a Signature>, at: Timestamp) -> bool {
    revocations.any(|signature| {
        let is_soft = matches!(
            signature.revocation_reason_code(),
            Some(
                RevocationCode::KeySuperseded
                    | RevocationCode::KeyRetired
                    | RevocationCode::CertUserIdInvalid
            )
        );
        !is_soft || created(signature) <= at
    })
}
