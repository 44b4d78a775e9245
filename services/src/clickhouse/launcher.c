/* clickhouse-local, out of the library that chDB ships it in. It tells its errors itself, and returns when it has
 * nothing left to do: its listeners are gone then. */

struct chdb_result;
struct chdb_result *chdb_query_cmdline(int argc, char **argv);

int main(int argc, char **argv) {
    chdb_query_cmdline(argc, argv);
    return 1;
}
