//! PostgreSQL's built-in types by name: their OIDs, those of their arrays, and their lengths (`pg_type.dat`).

/// One built-in type that is no array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// `pg_type.typname`, for example `int4`.
    pub name: &'static str,
    pub oid: u32,
    /// The type of its arrays, 0 where it has none.
    pub array: u32,
    /// Bytes of a value, -1 when it varies, -2 for a C string.
    pub len: i16,
}

const fn row(name: &'static str, oid: u32, array: u32, len: i16) -> Known {
    Known { name, oid, array, len }
}

/// In the order of their OIDs.
pub const KNOWN: &[Known] = &[
    row("bool", 16, 1000, 1),
    row("bytea", 17, 1001, -1),
    row("char", 18, 1002, 1),
    row("name", 19, 1003, 64),
    row("int8", 20, 1016, 8),
    row("int2", 21, 1005, 2),
    row("int2vector", 22, 1006, -1),
    row("int4", 23, 1007, 4),
    row("regproc", 24, 1008, 4),
    row("text", 25, 1009, -1),
    row("oid", 26, 1028, 4),
    row("tid", 27, 1010, 6),
    row("xid", 28, 1011, 4),
    row("cid", 29, 1012, 4),
    row("oidvector", 30, 1013, -1),
    row("json", 114, 199, -1),
    row("xml", 142, 143, -1),
    row("pg_node_tree", 194, 0, -1),
    row("point", 600, 1017, 16),
    row("lseg", 601, 1018, 32),
    row("path", 602, 1019, -1),
    row("box", 603, 1020, 32),
    row("polygon", 604, 1027, -1),
    row("line", 628, 629, 24),
    row("cidr", 650, 651, -1),
    row("float4", 700, 1021, 4),
    row("float8", 701, 1022, 8),
    row("unknown", 705, 0, -2),
    row("circle", 718, 719, 24),
    row("macaddr8", 774, 775, 8),
    row("money", 790, 791, 8),
    row("macaddr", 829, 1040, 6),
    row("inet", 869, 1041, -1),
    row("aclitem", 1033, 1034, 12),
    row("bpchar", 1042, 1014, -1),
    row("varchar", 1043, 1015, -1),
    row("date", 1082, 1182, 4),
    row("time", 1083, 1183, 8),
    row("timestamp", 1114, 1115, 8),
    row("timestamptz", 1184, 1185, 8),
    row("interval", 1186, 1187, 16),
    row("timetz", 1266, 1270, 12),
    row("bit", 1560, 1561, -1),
    row("varbit", 1562, 1563, -1),
    row("numeric", 1700, 1231, -1),
    row("refcursor", 1790, 2201, -1),
    row("regprocedure", 2202, 2207, 4),
    row("regoper", 2203, 2208, 4),
    row("regoperator", 2204, 2209, 4),
    row("regclass", 2205, 2210, 4),
    row("regtype", 2206, 2211, 4),
    row("record", 2249, 2287, -1),
    row("cstring", 2275, 1263, -2),
    row("any", 2276, 0, 4),
    row("anyarray", 2277, 0, -1),
    row("void", 2278, 0, 4),
    row("anyelement", 2283, 0, 4),
    row("anynonarray", 2776, 0, 4),
    row("uuid", 2950, 2951, 16),
    row("txid_snapshot", 2970, 2949, -1),
    row("pg_lsn", 3220, 3221, 8),
    row("pg_ndistinct", 3361, 0, -1),
    row("pg_dependencies", 3402, 0, -1),
    row("anyenum", 3500, 0, 4),
    row("tsvector", 3614, 3643, -1),
    row("tsquery", 3615, 3645, -1),
    row("regconfig", 3734, 3735, 4),
    row("regdictionary", 3769, 3770, 4),
    row("jsonb", 3802, 3807, -1),
    row("anyrange", 3831, 0, -1),
    row("int4range", 3904, 3905, -1),
    row("numrange", 3906, 3907, -1),
    row("tsrange", 3908, 3909, -1),
    row("tstzrange", 3910, 3911, -1),
    row("daterange", 3912, 3913, -1),
    row("int8range", 3926, 3927, -1),
    row("jsonpath", 4072, 4073, -1),
    row("regnamespace", 4089, 4090, 4),
    row("regrole", 4096, 4097, 4),
    row("regcollation", 4191, 4192, 4),
    row("int4multirange", 4451, 6150, -1),
    row("nummultirange", 4532, 6151, -1),
    row("tsmultirange", 4533, 6152, -1),
    row("tstzmultirange", 4534, 6153, -1),
    row("datemultirange", 4535, 6155, -1),
    row("int8multirange", 4536, 6157, -1),
    row("anymultirange", 4537, 0, -1),
    row("anycompatiblemultirange", 4538, 0, -1),
    row("pg_mcv_list", 5017, 0, -1),
    row("pg_snapshot", 5038, 5039, -1),
    row("xid8", 5069, 271, 8),
    row("anycompatible", 5077, 0, 4),
    row("anycompatiblearray", 5078, 0, -1),
    row("anycompatiblenonarray", 5079, 0, 4),
    row("anycompatiblerange", 5080, 0, -1),
];

/// The type of this internal name; never an array.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

/// The type of this OID; never an array.
#[must_use]
pub fn by_oid(oid: u32) -> Option<&'static Known> {
    let at = KNOWN.binary_search_by_key(&oid, |known| known.oid).ok()?;
    KNOWN.get(at)
}

/// The type whose arrays have this OID.
#[must_use]
pub fn by_array(array: u32) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.array == array && array != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_by_name_by_oid_and_by_array() {
        assert!(KNOWN.windows(2).all(|pair| pair[0].oid < pair[1].oid), "searched by halves");
        let int4 = by_name("int4").unwrap();
        assert_eq!((int4.oid, int4.array, int4.len), (23, 1007, 4));
        assert_eq!(by_oid(2205).map(|known| known.name), Some("regclass"));
        assert_eq!(by_array(2210).map(|known| known.name), Some("regclass"));
        assert_eq!((by_name("_int4"), by_oid(1007), by_array(0)), (None, None, None));
    }
}
