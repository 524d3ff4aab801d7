#!/usr/bin/perl
# DBD::Pg: metadata methods of DBI, rows, prepared statements. Each section is compared as one.
use strict;
use warnings;
use DBI;

$| = 1;
binmode STDOUT, ':encoding(UTF-8)';
my $db = DBI->connect("dbi:Pg:dbname=$ENV{PGDATABASE};host=$ENV{PGHOST};port=$ENV{PGPORT}", $ENV{PGUSER}, $ENV{PGPASSWORD},
    { RaiseError => 1, PrintError => 0, AutoCommit => 1 });

sub section {
    my ($name, $body) = @_;
    print "== $name\n";
    eval { $body->(); 1 } or do {
        my $told = $db->errstr // $@;
        $told =~ s/\n.*//s;
        print "error ", $db->state, " $told\n";
    };
}

sub show {
    my ($statement) = @_;
    return print "nothing\n" unless $statement;
    print "column ", join(' ', @{ $statement->{NAME} }), "\n";
    while (my $row = $statement->fetchrow_arrayref) {
        print 'row ', join(' | ', map { !defined $_ ? 'NULL' : ref $_ eq 'ARRAY' ? '[' . join(',', map { $_ // 'NULL' } @$_) . ']' : s/\n/\\n/gr } @$_), "\n";
    }
}

section('tables', sub { show($db->table_info(undef, 'sales', '%', undef)) });
section('columns', sub { show($db->column_info(undef, 'sales', 'orders', '%')) });
section('primary key', sub { show($db->primary_key_info(undef, 'sales', 'v')); print join(',', $db->primary_key(undef, 'sales', 'v')), "\n" });
section('foreign keys', sub { show($db->foreign_key_info(undef, 'sales', 'clubs', undef, 'sales', 'orders')) });
section('statistics', sub { show($db->statistics_info(undef, 'sales', 'clubs', 0, 0)) });
section('types', sub { print join(' ', map { $_->{TYPE_NAME} } $db->type_info(DBI::SQL_INTEGER())), "\n" });
section('rows', sub { my $s = $db->prepare('SELECT * FROM sales.orders ORDER BY id'); $s->execute; print join(' ', map { $_ // '' } @{ $s->{TYPE} }, @{ $s->{PRECISION} }), "\n"; show($s) });
section('prepared', sub {
    my $s = $db->prepare('SELECT id, amount FROM sales.orders WHERE id > ? AND day < ? ORDER BY id');
    for my $id (20, 22) { $s->execute($id, '2026-01-24'); show($s) }
});
section('copy', sub {
    $db->do('COPY sales.clubs TO STDOUT CSV');
    my $line;
    print "line $line" while $db->pg_getcopydata($line) >= 0;
});
section('transaction', sub { $db->begin_work; $db->do('SELECT 1'); print $db->ping, ' ', $db->{pg_server_version} - $db->{pg_server_version} % 10000, "\n"; $db->rollback });
section('savepoint', sub { $db->begin_work; $db->pg_savepoint('s'); eval { $db->do('SELECT 1/0') }; print $db->state, "\n"; $db->pg_rollback_to('s'); print $db->selectrow_array('SELECT 2'), "\n"; $db->rollback });
section('notifications', sub { $db->do('LISTEN twin'); $db->do("NOTIFY twin, 'hello'"); my $got = $db->pg_notifies; print $got ? "$got->[0] $got->[2]" : 'nothing came', "\n" });
section('error', sub { $db->do('SELECT * FROM nothing') });
