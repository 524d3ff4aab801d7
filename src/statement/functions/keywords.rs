//! PostgreSQL's key words: which of them a name must be quoted for, and what `pg_get_keywords` lists.
//!
//! PostgreSQL 15, appendix C "SQL Key Words" (`kwlist.h`). Whoever may stand as a label without AS is marked apart.

/// May be used as any name.
const UNRESERVED: &str = "abort absolute access action add admin after aggregate also alter always asensitive assertion \
    assignment at atomic attach attribute backward before begin breadth by cache call called cascade \
    cascaded catalog chain characteristics checkpoint class close cluster columns comment comments \
    commit committed compression configuration conflict connection constraints content continue \
    conversion copy cost csv cube current cursor cycle data database deallocate declare defaults \
    deferred definer delete delimiter delimiters depends depth detach dictionary disable discard \
    document domain double drop each enable encoding encrypted enum escape event exclude excluding \
    exclusive execute explain expression extension external family finalize first following force \
    forward function functions generated global granted groups handler header hold identity if \
    immediate immutable implicit import include including increment index indexes inherit inherits \
    inline input insensitive insert instead invoker isolation key label language large last leakproof \
    level listen load local location lock locked logged mapping match matched materialized maxvalue \
    merge method minvalue mode move name names new next nfc nfd nfkc nfkd no normalized nothing notify \
    nowait nulls object of off oids old operator option options ordinality others overriding owned \
    owner parallel parameter parser partial partition passing password plans policy preceding prepare \
    prepared preserve prior privileges procedural procedure procedures program publication quote range \
    read reassign recheck recursive ref referencing refresh reindex relative release rename repeatable \
    replace replica reset restart restrict return returns revoke role rollback rollup routine routines \
    rows rule savepoint schema schemas scroll search security sequence sequences serializable server \
    session set sets share show simple skip snapshot sql stable standalone start statement statistics \
    stdin stdout storage stored strict strip subscription support sysid system tables tablespace temp \
    template temporary text ties transaction transform trigger truncate trusted type types uescape \
    unbounded uncommitted unencrypted unknown unlisten unlogged until update vacuum valid validate \
    validator value version view views volatile whitespace work wrapper write xml yes zone";
/// The same, but for a label without AS.
const UNRESERVED_NEEDS_AS: &str = "day filter hour minute month over second varying within without year";
/// May be the name of a column, not of a function or a type.
const COLUMN: &str = "between bigint bit boolean coalesce dec decimal exists extract float greatest grouping inout int \
    integer interval least national nchar none normalize nullif numeric out overlay position real row \
    setof smallint substring time timestamp treat trim values varchar xmlattributes xmlconcat \
    xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable";
/// The same, but for a label without AS.
const COLUMN_NEEDS_AS: &str = "char character precision";
/// May be the name of a function or a type.
const TYPE_OR_FUNCTION: &str = "authorization binary collation concurrently cross current_schema freeze full ilike inner is join \
    left like natural outer right similar tablesample verbose";
/// The same, but for a label without AS.
const TYPE_OR_FUNCTION_NEEDS_AS: &str = "isnull notnull overlaps";
/// May be no name at all, only a label.
const RESERVED: &str = "all analyse analyze and any asc asymmetric both case cast check collate column constraint \
    current_catalog current_date current_role current_time current_timestamp current_user default \
    deferrable desc distinct do else end false foreign in initially lateral leading localtime \
    localtimestamp not null only or placing primary references select session_user some symmetric table \
    then trailing true unique user using variadic when";
/// Not even a label without AS.
const RESERVED_NEEDS_AS: &str = "array as create except fetch for from grant group having intersect into limit offset on order \
    returning to union where window with";

/// One key word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Keyword {
    pub word: &'static str,
    /// `U`, `C`, `T` or `R`.
    pub category: char,
    pub bare_label: bool,
}

impl Keyword {
    /// `catdesc`.
    pub fn category_description(self) -> &'static str {
        match self.category {
            'U' => "unreserved",
            'C' => "unreserved (cannot be function or type name)",
            'T' => "reserved (can be function or type name)",
            _ => "reserved",
        }
    }

    /// `baredesc`.
    pub fn label_description(self) -> &'static str {
        if self.bare_label { "can be bare label" } else { "requires AS" }
    }
}

/// All of them in the order of their letters.
pub fn all() -> Vec<Keyword> {
    let groups = [
        (UNRESERVED, 'U', true),
        (UNRESERVED_NEEDS_AS, 'U', false),
        (COLUMN, 'C', true),
        (COLUMN_NEEDS_AS, 'C', false),
        (TYPE_OR_FUNCTION, 'T', true),
        (TYPE_OR_FUNCTION_NEEDS_AS, 'T', false),
        (RESERVED, 'R', true),
        (RESERVED_NEEDS_AS, 'R', false),
    ];
    let words = groups.into_iter().flat_map(|(words, category, bare_label)| {
        words.split_ascii_whitespace().map(move |word| Keyword { word, category, bare_label })
    });
    let mut all: Vec<Keyword> = words.collect();
    all.sort_unstable();
    all
}

/// Whether a name that is this word must be quoted: `quote_ident` leaves only unreserved ones as they are.
pub fn needs_quotes(name: &str) -> bool {
    let listed = |words: &str| words.split_ascii_whitespace().any(|word| word == name);
    [COLUMN, COLUMN_NEEDS_AS, TYPE_OR_FUNCTION, TYPE_OR_FUNCTION_NEEDS_AS, RESERVED, RESERVED_NEEDS_AS]
        .into_iter()
        .any(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_postgresqls() {
        let all = all();
        assert_eq!(all.len(), 460);
        assert!(all.windows(2).all(|pair| pair[0].word < pair[1].word));
        assert!(needs_quotes("select") && needs_quotes("between") && needs_quotes("left") && !needs_quotes("abort"));
    }
}
