/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The network's options and metrics, as rows. */
#include "net/net.h"

#include <limits.h>

#define OPTION(field) offsetof(struct net_options, field)

static const struct option options[] = {
    {.name = "bind",
     .kind = OPTION_STRING,
     .flags = OPTION_LIVE | OPTION_MULTI_WORD,
     .offset = OPTION(bind),
     .default_text = "127.0.0.1 -::1",
     .help = "The addresses to listen on, IPv4 and IPv6, separated by blanks. \"*\" is every IPv4\n"
             "address of the machine, \"::*\" every IPv6 one. A \"-\" in front of an address\n"
             "means that the server also starts where the machine does not have it. Names are\n"
             "not looked up. The default takes connections from this machine only; before you\n"
             "open it to others, set requirepass."},
    {.name = "port",
     .kind = OPTION_INTEGER,
     .flags = OPTION_LIVE,
     .offset = OPTION(port),
     .default_text = "6379",
     .minimum = 0,
     .maximum = 65535,
     .help = "The TCP port. 0: no TCP at all (use unixsocket then)."},
    {.name = "unixsocket",
     .kind = OPTION_STRING,
     .offset = OPTION(unixsocket),
     .default_text = "",
     .help = "The path of a unix socket to listen on, beside or instead of TCP. It saves about a\n"
             "third of the time of a request from the same machine. Empty: none. A socket that\n"
             "is left over from an earlier run is replaced."},
    {.name = "unixsocketperm",
     .kind = OPTION_OCTAL,
     .offset = OPTION(unixsocketperm),
     .default_text = "0",
     .minimum = 0,
     .maximum = 0777,
     .help = "The permissions of the unix socket, in octal (700: the owner alone). 0: as the\n"
             "process's umask has it."},
    {.name = "tcp-backlog",
     .kind = OPTION_INTEGER,
     .offset = OPTION(tcp_backlog),
     .default_text = "511",
     .minimum = 0,
     .maximum = INT_MAX,
     .help = "How many connections the kernel may hold that the server has not yet accepted. The\n"
             "kernel cuts it down to net.core.somaxconn: raise both where thousands of clients\n"
             "connect at the same moment."},
    {.name = "tcp-keepalive",
     .kind = OPTION_INTEGER,
     .flags = OPTION_LIVE,
     .offset = OPTION(tcp_keepalive_s),
     .default_text = "300",
     .minimum = 0,
     .maximum = INT_MAX,
     .unit = "seconds",
     .help = "After so long without traffic the kernel asks the peer whether it is still there,\n"
             "then three more times at a third of that distance; a dead one is closed. It also\n"
             "keeps firewalls from forgetting the connection. 0: never. A change holds for\n"
             "connections that come after it."},
    {.name = "timeout",
     .kind = OPTION_INTEGER,
     .flags = OPTION_LIVE,
     .offset = OPTION(timeout_s),
     .default_text = "0",
     .minimum = 0,
     .maximum = INT_MAX,
     .unit = "seconds",
     .help = "Close a client that has been idle for so long. 0: never. A client whose command\n"
             "waits for data is not idle."},
    {.name = "reply-stream-timeout",
     .kind = OPTION_INTEGER,
     .flags = OPTION_LIVE,
     .offset = OPTION(reply_stream_timeout_s),
     .default_text = "60",
     .minimum = 1,
     .maximum = INT_MAX,
     .unit = "seconds",
     .help = "KEYS of a large database sends its reply while it reads it, at the pace of the client,\n"
             "from a snapshot of the store. A client that does not take the next 256 KiB of such a\n"
             "reply in so long is closed, since a snapshot keeps deleted data on the disk."},
    {.name = "maxclients",
     .kind = OPTION_INTEGER,
     .flags = OPTION_LIVE,
     .offset = OPTION(maxclients),
     .default_text = "10000",
     .minimum = 1,
     .maximum = UINT_MAX,
     .help = "How many clients may be connected; one more gets an error and is closed. Each needs\n"
             "a file descriptor: the server raises its own limit at start, and lowers this option\n"
             "with a warning where it is not allowed to."},
    {.name = "protected-mode",
     .kind = OPTION_BOOL,
     .flags = OPTION_LIVE,
     .offset = OPTION(protected_mode),
     .default_text = "yes",
     .help = "While no password is set, answer clients on the loopback interface and the unix\n"
             "socket only, whatever bind says; others get -DENIED. Turn it off only where nobody\n"
             "else can reach the port."},
    {.name = "proto-max-bulk-len",
     .kind = OPTION_BYTES,
     .flags = OPTION_LIVE,
     .offset = OPTION(proto_max_bulk_bytes),
     .default_text = "512mb",
     .minimum = 1024 * 1024,
     .maximum = INT64_MAX,
     .unit = "bytes",
     .help = "The longest argument of a request, hence the longest string. A longer one is a\n"
             "protocol error."},
    {.name = "client-query-buffer-limit",
     .kind = OPTION_BYTES,
     .flags = OPTION_LIVE,
     .offset = OPTION(client_query_buffer_limit_bytes),
     .default_text = "1gb",
     .minimum = 1024 * 1024,
     .maximum = INT64_MAX,
     .unit = "bytes",
     .help = "The longest request that is still being received. A client that passes it is\n"
             "closed. Before a client has given the password its limit is 1 MiB."},
    {.name = "client-output-buffer-limit",
     .kind = OPTION_STRING,
     .flags = OPTION_LIVE | OPTION_MULTI_WORD | OPTION_REPEATED,
     .offset = OPTION(client_output_buffer_limit),
     .default_text = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
     .help = "CLASS HARD SOFT SECONDS, once or several times. A client whose replies wait because\n"
             "it does not read them is closed when they reach HARD bytes, or when they are at or\n"
             "above SOFT bytes for longer than SECONDS. 0: no such limit. The classes are normal,\n"
             "replica (or slave) and pubsub; today every client is a normal one. All clients\n"
             "together are bounded by maxmemory-clients too."},
    {.name = "maxmemory-clients",
     .kind = OPTION_STRING,
     .flags = OPTION_LIVE,
     .offset = OPTION(maxmemory_clients),
     .default_text = "10%",
     .help = "The memory that the buffers of all clients together may hold, in bytes or as a\n"
             "percentage of maxmemory. When they hold more, the client that holds the most is\n"
             "closed (CLIENT NO-EVICT excepts one). The largest single request or reply comes on\n"
             "top, so that a long value can be set and read under any limit. 0: no limit; clients\n"
             "that do not read their replies can then exhaust the memory."},
};

const struct option_table net_option_table = {
    .title = "Network and clients",
    .intro = "Where the server listens, whom it lets in, and how much a client may hold.",
    .rows = options,
    .count = sizeof options / sizeof options[0],
};

#define ROW(kind_, name_, field, unit_, info_, help_)                                              \
    {.name = "kelvin_net_" name_,                                                                  \
     .kind = METRIC_##kind_,                                                                       \
     .offset = offsetof(struct net_metrics, field),                                                \
     .unit = (unit_),                                                                              \
     .info = (info_),                                                                              \
     .help = (help_)}

static const struct metric metrics[] = {
    ROW(COUNTER, "connections_accepted_total", connections_accepted, "",
        "total_connections_received", "Connections that became clients."),
    ROW(COUNTER, "connections_rejected_total", connections_rejected, "", "rejected_connections",
        "Connections refused because maxclients were connected."),
    ROW(COUNTER, "connections_denied_total", connections_denied, "", NULL,
        "Connections refused by protected mode."),
    ROW(COUNTER, "connections_closed_total", connections_closed, "", NULL,
        "Clients that are gone, whoever closed."),
    ROW(COUNTER, "accept_failures_total", accept_failures, "", NULL,
        "Times that accepting stopped because no file descriptor or memory was left."),
    ROW(COUNTER, "evicted_clients_total", evicted, "", "evicted_clients",
        "Clients closed because of maxmemory-clients."),
    ROW(COUNTER, "closed_query_limit_total", closed_query_limit, "",
        "client_query_buffer_limit_disconnections",
        "Clients closed because of client-query-buffer-limit."),
    ROW(COUNTER, "closed_output_limit_total", closed_output_limit, "",
        "client_output_buffer_limit_disconnections",
        "Clients closed because of client-output-buffer-limit."),
    ROW(COUNTER, "closed_idle_total", closed_idle, "", NULL, "Clients closed because of timeout."),
    ROW(COUNTER, "closed_stream_total", closed_stream, "", NULL,
        "Clients closed because of reply-stream-timeout."),
    ROW(COUNTER, "received_bytes_total", received_bytes, "bytes", "total_net_input_bytes",
        "Bytes read from clients."),
    ROW(COUNTER, "sent_bytes_total", sent_bytes, "bytes", "total_net_output_bytes",
        "Bytes written to clients."),
    ROW(COUNTER, "reads_total", reads, "", "total_reads_processed", "Calls that read a socket."),
    ROW(COUNTER, "writes_total", writes, "", "total_writes_processed",
        "Calls that wrote to a socket."),
    ROW(COUNTER, "write_stalls_total", write_stalls, "", NULL,
        "Times that a socket took no more bytes: the client reads too slowly."),
    ROW(COUNTER, "read_pauses_total", read_pauses, "", NULL,
        "Times that a client's socket was not read for a while, since its earlier requests wait."),
    ROW(COUNTER, "held_replies_total", held_replies, "", NULL,
        "Times that replies were held back until a write is durable."),
    ROW(COUNTER, "turns_total", turns, "", "eventloop_cycles", "Turns of the event loop."),
    ROW(COUNTER, "budget_turns_total", budget_turns, "", NULL,
        "Times that a client with a long pipeline had to let others go first."),
    ROW(GAUGE, "connections", connections, "", "connected_clients", "Clients now."),
    ROW(GAUGE, "client_memory_bytes", client_memory_bytes, "bytes", "mem_clients_normal",
        "Memory held by clients: buffers, replies, queued transactions."),
    ROW(GAUGE, "client_output_bytes", client_output_bytes, "bytes", NULL,
        "Memory held by replies that wait to be sent."),
    ROW(HISTOGRAM, "turn_seconds", turn_seconds, "seconds", NULL,
        "How long a turn of the loop took, without its sleep: what any client may have to wait."),
};

const struct metric_table net_metric_table = {
    .family = "net",
    .rows = metrics,
    .count = sizeof metrics / sizeof metrics[0],
};
