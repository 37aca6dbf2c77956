/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The state of a connection: who it is, its database, its protocol, its end. There is one user,
 * "default", whose password is requirepass. Loop thread. */
#include "commands/connection.h"

#include "base/memory.h"
#include "commands/argument.h"
#include "commands/keys.h"
#include "commands/server.h"

static const char wrong_password[] =
    "WRONGPASS invalid username-password pair or user is disabled.";

/* PING [message] */
void connection_ping(struct command_run *run)
{
    if (run->argc > 2)
        run_arity_error(run);
    else if (run->argc == 1)
        reply_status(run->reply, "PONG");
    else
        reply_bulk(run->reply, run->argv[1]);
}

/* ECHO message */
void connection_echo(struct command_run *run)
{
    reply_bulk(run->reply, run->argv[1]);
}

/* SELECT index */
void connection_select(struct command_run *run)
{
    int number;
    if (!keys_get_int(run, run->argv[1], NULL, &number)) return;
    if (number < 0 || (unsigned)number >= keyspace_database_count(run->access.keyspace)) {
        reply_error(run->reply, "ERR DB index is out of range");
        return;
    }
    run->session->database = number;
    reply_ok(run->reply);
}

/* Takes as long for each guess of one length, however much of it is right. */
static bool is_password(struct slice given)
{
    const char *password = server.password();
    size_t size = strlen(password);
    unsigned difference = given.size != size;
    for (size_t i = 0; i < given.size; i++)
        difference |= (unsigned char)given.data[i] ^ (unsigned char)password[size ? i % size : 0];
    return difference == 0;
}

/* Without a password every one is right. */
static bool authenticate(struct slice user, struct slice password)
{
    return slice_equal(user, SLICE_LITERAL("default")) &&
           (!*server.password() || is_password(password));
}

/* Logs in, or replies why not. */
static bool log_in(struct command_run *run, struct slice user, struct slice password)
{
    if (!authenticate(user, password)) {
        acl_log_denied(run, user);
        reply_error(run->reply, wrong_password);
        return false;
    }
    run->session->authenticated = true;
    return true;
}

/* AUTH [username] password */
void connection_auth(struct command_run *run)
{
    struct slice user = SLICE_LITERAL("default");
    if (run->argc > 3) {
        run_syntax_error(run);
        return;
    }
    if (run->argc == 3) {
        user = run->argv[1];
    } else if (!*server.password()) {
        reply_error(run->reply, "ERR AUTH <password> called without any password configured for "
                                "the default user. Are you sure your configuration is correct?");
        return;
    }
    if (log_in(run, user, run->argv[run->argc - 1])) reply_ok(run->reply);
}

/* Printable and without blanks: the line of CLIENT LIST must stay readable. */
static bool is_plain_word(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < '!' || text.data[i] > '~') return false;
    return true;
}

static bool check_name(struct command_run *run, struct slice name)
{
    if (is_plain_word(name)) return true;
    reply_error(run->reply, "ERR Client names cannot contain spaces, newlines or special "
                            "characters.");
    return false;
}

/* 0: as it is. */
static bool hello_version(struct command_run *run, int *out)
{
    int64_t version;
    *out = 0;
    if (run->argc < 2) return true;
    if (!run_get_integer_in(run, run->argv[1], INT64_MIN, INT64_MAX,
                            "Protocol version is not an integer or out of range", &version))
        return false;
    if (version < 2 || version > 3) {
        reply_error(run->reply, "NOPROTO unsupported protocol version");
        return false;
    }
    *out = (int)version;
    return true;
}

/* Each option takes effect when its turn comes: those before a wrong one have. */
static bool hello_take_options(struct command_run *run)
{
    for (int i = 2; i < run->argc; i++) {
        struct slice word = argument_text(run->argv[i]);
        int more = run->argc - 1 - i;
        if (slice_equal_nocase(word, "auth") && more >= 2) {
            if (!log_in(run, run->argv[i + 1], run->argv[i + 2])) return false;
            i += 2;
        } else if (slice_equal_nocase(word, "setname") && more) {
            if (!connection_set_name(run, run->argv[++i])) return false;
        } else {
            reply_error_format(run->reply, "ERR Syntax error in HELLO option '%.*s'",
                               (int)word.size, word.data);
            return false;
        }
    }
    return true;
}

static void hello_reply(struct command_run *run)
{
    reply_map(run->reply, 7);
    reply_bulk_text(run->reply, "server");
    reply_bulk_text(run->reply, "redis");
    reply_bulk_text(run->reply, "version");
    reply_bulk_text(run->reply, "7.0.15");
    reply_bulk_text(run->reply, "proto");
    reply_integer(run->reply, reply_version(run->reply));
    reply_bulk_text(run->reply, "id");
    reply_integer(run->reply, (int64_t)run->session->id);
    reply_bulk_text(run->reply, "mode");
    reply_bulk_text(run->reply, "standalone");
    reply_bulk_text(run->reply, "role");
    reply_bulk_text(run->reply, "master");
    reply_bulk_text(run->reply, "modules");
    reply_array(run->reply, 0);
}

/* HELLO [protover [AUTH username password] [SETNAME clientname]] */
void connection_hello(struct command_run *run)
{
    int version;
    if (!hello_version(run, &version) || !hello_take_options(run)) return;
    if (!run->session->authenticated) {
        reply_error(run->reply,
                    "NOAUTH HELLO must be called with the client already authenticated, otherwise "
                    "the HELLO AUTH <user> <pass> option can be used to authenticate the "
                    "client and select the RESP protocol version at the same time");
        return;
    }
    if (version) reply_set_version(run->reply, version);
    hello_reply(run);
}

/* QUIT */
void connection_quit(struct command_run *run)
{
    reply_ok(run->reply);
    run->session->operations->close(run->session, true);
}

/* RESET */
void connection_reset(struct command_run *run)
{
    session_reset(run->session, !*server.password());
    reply_status(run->reply, "RESET");
}

bool connection_set_name(struct command_run *run, struct slice name)
{
    if (!check_name(run, name)) return false;
    mem_free(run->session->name);
    run->session->name = slice_dup_text(name);
    return true;
}

/* CLIENT SETINFO LIB-NAME libname | LIB-VER libver */
void client_setinfo(struct command_run *run)
{
    struct slice attribute = argument_text(run->argv[2]);
    char **place;
    if (slice_equal_nocase(attribute, "lib-name")) {
        place = &run->session->library_name;
    } else if (slice_equal_nocase(attribute, "lib-ver")) {
        place = &run->session->library_version;
    } else {
        reply_error_format(run->reply, "ERR Unrecognized option '%.*s'", (int)attribute.size,
                           attribute.data);
        return;
    }
    if (!is_plain_word(run->argv[3])) {
        reply_error_format(run->reply,
                           "ERR %.*s cannot contain spaces, newlines or special characters.",
                           (int)attribute.size, attribute.data);
        return;
    }
    mem_free(*place);
    *place = slice_dup_text(run->argv[3]);
    reply_ok(run->reply);
}
