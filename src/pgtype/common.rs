//! The one type that several values have together: branches of CASE, arguments of COALESCE, elements of ARRAY, columns of
//! UNION and VALUES.
//!
//! PostgreSQL 15, section 10.5 "UNION, CASE, and Related Constructs" (`select_common_type`, `select_common_typmod`), with
//! the implicit casts of `pg_cast.dat` and the categories of `pg_type.dat` among types that values can have here.

use super::{element_oid, is_reg, oid};

/// A type and its type modifier, -1 where it carries none.
pub type Typed = (u32, i32);

/// The type of values together; `None` stands for a literal that has no type yet. No type is common to literals alone.
///
/// Where PostgreSQL would find none at all, it is that of the first.
pub fn common_type(types: impl IntoIterator<Item = Option<Typed>>) -> Option<Typed> {
    let mut common: Option<Typed> = None;
    let mut keeps_typmod = true;
    for next in types {
        let (Some((next, typmod)), Some((own, own_typmod))) = (next, common) else {
            keeps_typmod &= next.is_some();
            common = common.or(next);
            continue;
        };
        keeps_typmod &= (next, typmod) == (own, own_typmod);
        if next != own
            && category(next) == category(own)
            && !is_preferred(own)
            && coerces(own, next)
            && !coerces(next, own)
        {
            common = Some((next, typmod));
        }
    }
    common.map(|(own, typmod)| (own, if keeps_typmod { typmod } else { -1 }))
}

/// What a literal without a type is beside a value in a comparison, and the value itself where no operator takes it as it
/// is (section 10.2 "Operators"): there are operators over `text` and `oid`, and none over `varchar` and `regclass`.
#[must_use]
pub fn compared_type(type_oid: u32) -> u32 {
    match type_oid {
        oid::VARCHAR => oid::TEXT,
        reg if is_reg(reg) => oid::OID,
        other => other,
    }
}

/// What `min` and `max` of a type return: there is a function for few types, and others are cast to theirs.
#[must_use]
pub fn extreme_type(type_oid: u32) -> u32 {
    match type_oid {
        oid::VARCHAR | oid::NAME | oid::CHAR => oid::TEXT,
        oid::CIDR => oid::INET,
        other => compared_type(other),
    }
}

/// `pg_type.typcategory`.
fn category(type_oid: u32) -> char {
    match type_oid {
        oid::INT2 | oid::INT4 | oid::INT8 | oid::NUMERIC | oid::FLOAT4 | oid::FLOAT8 | oid::OID => 'N',
        reg if is_reg(reg) => 'N',
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME => 'S',
        oid::DATE | oid::TIME | oid::TIMESTAMP | oid::TIMESTAMPTZ => 'D',
        oid::BOOL => 'B',
        oid::INTERVAL => 'T',
        oid::INET | oid::CIDR => 'I',
        oid::CHAR | oid::PG_NODE_TREE => 'Z',
        vector_or_array if is_array(vector_or_array) => 'A',
        _ => 'U',
    }
}

/// `pg_type.typispreferred`.
fn is_preferred(type_oid: u32) -> bool {
    matches!(type_oid, oid::OID | oid::FLOAT8 | oid::TEXT | oid::TIMESTAMPTZ | oid::BOOL | oid::INTERVAL | oid::INET)
}

fn is_array(type_oid: u32) -> bool {
    matches!(type_oid, oid::INT2VECTOR | oid::OIDVECTOR) || element_oid(type_oid).is_some()
}

/// Whether a value of a type is taken for one of another without being asked (`pg_cast.castcontext` 'i').
fn coerces(from: u32, to: u32) -> bool {
    let number = |type_oid: u32| {
        [oid::INT2, oid::INT4, oid::INT8, oid::NUMERIC, oid::FLOAT4, oid::FLOAT8].iter().position(|n| *n == type_oid)
    };
    match (from, to) {
        (from, to) if from == to => true,
        (oid::INT2 | oid::INT4 | oid::INT8 | oid::OID, to) if to == oid::OID || is_reg(to) => true,
        (from, oid::OID) => is_reg(from),
        (oid::REGPROC, oid::REGPROCEDURE)
        | (oid::REGPROCEDURE, oid::REGPROC)
        | (oid::REGOPER, oid::REGOPERATOR)
        | (oid::REGOPERATOR, oid::REGOPER)
        | (oid::NAME | oid::CHAR | oid::PG_NODE_TREE, oid::TEXT)
        | (oid::TEXT | oid::BPCHAR | oid::VARCHAR, oid::NAME | oid::TEXT | oid::BPCHAR | oid::VARCHAR)
        | (oid::DATE, oid::TIMESTAMP | oid::TIMESTAMPTZ)
        | (oid::TIMESTAMP, oid::TIMESTAMPTZ)
        | (oid::CIDR, oid::INET) => true,
        (from, to) => match (number(from), number(to), element_oid(from), element_oid(to)) {
            (Some(from), Some(to), ..) => from < to,
            (_, _, Some(from), Some(to)) => coerces(from, to),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(types: &[u32]) -> u32 {
        common_type(types.iter().map(|type_oid| Some((*type_oid, -1)))).unwrap().0
    }

    /// Every answer is PostgreSQL 15's to `COALESCE` of columns of these types.
    #[test]
    fn types_together_are_those_of_postgresql() {
        for (types, expected) in [
            ([oid::VARCHAR, oid::TEXT], oid::VARCHAR),
            ([oid::TEXT, oid::VARCHAR], oid::TEXT),
            ([oid::VARCHAR, oid::BPCHAR], oid::VARCHAR),
            ([oid::BPCHAR, oid::VARCHAR], oid::BPCHAR),
            ([oid::NAME, oid::TEXT], oid::NAME),
            ([oid::TEXT, oid::NAME], oid::TEXT),
            ([oid::VARCHAR, oid::NAME], oid::NAME),
            ([oid::NAME, oid::BPCHAR], oid::NAME),
            ([oid::OID, oid::INT4], oid::OID),
            ([oid::INT8, oid::OID], oid::OID),
            ([oid::REGCLASS, oid::OID], oid::REGCLASS),
            ([oid::OID, oid::REGCLASS], oid::OID),
            ([oid::INT4, oid::REGCLASS], oid::REGCLASS),
            ([oid::INT4, oid::NUMERIC], oid::NUMERIC),
            ([oid::FLOAT8, oid::OID], oid::FLOAT8),
            ([oid::DATE, oid::TIMESTAMPTZ], oid::TIMESTAMPTZ),
            ([1005, 1007], 1007),
            ([oid::CHAR, oid::TEXT], oid::CHAR),
        ] {
            assert_eq!(common(&types), expected, "{types:?}");
        }
    }

    #[test]
    fn literals_take_the_others_type_and_leave_no_typmod() {
        let varchar = |length: i32| Some((oid::VARCHAR, length + 4));
        assert_eq!(common_type([varchar(10), varchar(10)]), varchar(10));
        assert_eq!(common_type([varchar(10), varchar(20)]), Some((oid::VARCHAR, -1)));
        assert_eq!(common_type([None, varchar(10)]), Some((oid::VARCHAR, -1)));
        assert_eq!(common_type([varchar(10), None]), Some((oid::VARCHAR, -1)));
        assert_eq!(common_type([None, None]), None);
        assert_eq!(common_type([]), None);
    }
}
