//! The binary form of values that are strings in Arrow and something else in PostgreSQL.
//!
//! It owns the `…send` functions of those types (PostgreSQL 15, `pg_type.typsend`). It refuses to know arrays and rows.

use std::net::IpAddr;

use bytes::{BufMut as _, BytesMut};

use crate::error::{Error, Result, SqlState};
use crate::pgtype::{known, oid};

/// `jsonb_send` puts this version before the text.
const JSONB_VERSION: u8 = 1;
/// `PGSQL_AF_INET` and `PGSQL_AF_INET6` (`inet.h`).
const INET_FAMILY: u8 = 2;
const INET6_FAMILY: u8 = 3;

/// Whether the binary form of the type is its text.
pub(super) fn is_text(type_oid: u32) -> bool {
    matches!(
        type_oid,
        oid::TEXT
            | oid::VARCHAR
            | oid::BPCHAR
            | oid::NAME
            | oid::JSON
            | oid::XML
            | oid::UNKNOWN
            | oid::PG_NODE_TREE
            | oid::CHAR
    )
}

/// Appends the binary form of a value whose text form is given.
///
/// # Errors
/// `42883` for a type without a binary form, as PostgreSQL says it of `aclitem`; `22P02` for a text that is no value.
pub(super) fn binary(type_oid: u32, text: &[u8], out: &mut BytesMut) -> Result<()> {
    let name = known::by_oid(type_oid).map_or("unknown", |known| known.name);
    let text = std::str::from_utf8(text).map_err(Error::internal)?;
    let invalid = || {
        let message = format!("invalid input syntax for type {name}: \"{text}\"");
        Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
    };
    match type_oid {
        oid::JSONB => {
            out.put_u8(JSONB_VERSION);
            out.extend_from_slice(text.as_bytes());
        }
        oid::UUID => out.extend_from_slice(uuid::Uuid::try_parse(text).map_err(|_| invalid())?.as_bytes()),
        oid::PG_LSN => {
            let (high, low) = text.split_once('/').ok_or_else(invalid)?;
            for half in [high, low] {
                out.put_u32(u32::from_str_radix(half, 16).map_err(|_| invalid())?);
            }
        }
        oid::INET | oid::CIDR => inet(text, type_oid == oid::CIDR, out).ok_or_else(invalid)?,
        _ => {
            let message = format!("no binary output function available for type {name}");
            return Err(Error::new(SqlState::UNDEFINED_FUNCTION, message));
        }
    }
    Ok(())
}

/// `network_send`: family, bits of the netmask, whether it is a cidr, length and bytes of the address.
fn inet(text: &str, is_cidr: bool, out: &mut BytesMut) -> Option<()> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let mut put = |family: u8, whole: u8, bytes: &[u8]| {
        out.extend_from_slice(&[family, bits.unwrap_or(whole), u8::from(is_cidr), bytes.len() as u8]);
        out.extend_from_slice(bytes);
    };
    match address.parse().ok()? {
        IpAddr::V4(address) => put(INET_FAMILY, 32, &address.octets()),
        IpAddr::V6(address) => put(INET6_FAMILY, 128, &address.octets()),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(type_oid: u32, text: &str) -> Result<Vec<u8>> {
        let mut out = BytesMut::new();
        binary(type_oid, text.as_bytes(), &mut out).map(|()| out.to_vec())
    }

    #[test]
    fn each_type_has_its_own_form() {
        assert_eq!(sent(oid::JSONB, "{}").unwrap(), b"\x01{}");
        assert_eq!(sent(oid::INET, "127.0.0.1").unwrap(), [2, 32, 0, 4, 127, 0, 0, 1]);
        assert_eq!(sent(oid::CIDR, "10.0.0.0/8").unwrap(), [2, 8, 1, 4, 10, 0, 0, 0]);
        assert_eq!(sent(oid::INET, "::1").unwrap()[..4], [3, 128, 0, 16]);
        assert_eq!(sent(oid::PG_LSN, "16/B374D848").unwrap(), [0, 0, 0, 0x16, 0xb3, 0x74, 0xd8, 0x48]);
        let uuid = sent(oid::UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").unwrap();
        assert_eq!((uuid.len(), uuid[0]), (16, 0xa0));
        assert_eq!(sent(oid::INET, "nowhere").unwrap_err().sqlstate(), SqlState::INVALID_TEXT_REPRESENTATION);
        assert_eq!(sent(oid::ACLITEM, "a=r/a").unwrap_err().sqlstate(), SqlState::UNDEFINED_FUNCTION);
    }
}
