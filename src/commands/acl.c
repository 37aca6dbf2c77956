/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ACL: there is one user, "default", who may do everything. What asks is answered as by a Redis
 * that has no other user. Loop thread. */
#include "base/digest.h"
#include "commands/argument.h"
#include "commands/server.h"

#include <errno.h>
#include <sys/random.h>

enum { PASSWORD_MAX_BITS = 4096, PASSWORD_DEFAULT_BITS = 256 };

static const char *const categories[] = {
    "keyspace", "read",   "write",     "set",        "sortedset", "list",        "hash",
    "string",   "bitmap", "hyperloglog", "geo",      "stream",    "pubsub",      "admin",
    "fast",     "slow",   "blocking",  "dangerous",  "connection", "transaction", "scripting",
};

static bool has_password(void)
{
    return *server.password() != 0;
}

static void password_hash(char out[DIGEST_HEX_BYTES + 1])
{
    digest_sha256_hex(slice_from_text(server.password()), out);
}

/* ACL WHOAMI */
void acl_whoami(struct command_run *run)
{
    reply_bulk_text(run->reply, "default");
}

/* ACL USERS */
void acl_users(struct command_run *run)
{
    reply_array(run->reply, 1);
    reply_bulk_text(run->reply, "default");
}

/* ACL LIST */
void acl_list(struct command_run *run)
{
    reply_array(run->reply, 1);
    char hash[DIGEST_HEX_BYTES + 1];
    password_hash(hash);
    reply_bulk_format(run->reply, "user default on %s%s ~* &* +@all", has_password() ? "#" : "",
                      has_password() ? hash : "nopass");
}

static void reply_pair(struct command_run *run, const char *name, const char *value)
{
    reply_bulk_text(run->reply, name);
    reply_bulk_text(run->reply, value);
}

/* ACL GETUSER username */
void acl_getuser(struct command_run *run)
{
    if (!slice_equal(run->argv[2], SLICE_LITERAL("default"))) {
        reply_null(run->reply);
        return;
    }
    reply_map(run->reply, 6);
    reply_bulk_text(run->reply, "flags");
    reply_set(run->reply, has_password() ? 1 : 2);
    reply_bulk_text(run->reply, "on");
    if (!has_password()) reply_bulk_text(run->reply, "nopass");
    reply_bulk_text(run->reply, "passwords");
    reply_array(run->reply, has_password());
    if (has_password()) {
        char hash[DIGEST_HEX_BYTES + 1];
        password_hash(hash);
        reply_bulk_text(run->reply, hash);
    }
    reply_pair(run, "commands", "+@all");
    reply_pair(run, "keys", "~*");
    reply_pair(run, "channels", "&*");
    reply_bulk_text(run->reply, "selectors");
    reply_array(run->reply, 0);
}

static uint64_t cat_commands(struct command_run *run, const struct command *command,
                             const char *category)
{
    uint64_t count = 0;
    if (command_in_category(command, category)) {
        reply_bulk_text(run->reply, command_full_name(command));
        count++;
    }
    for (int i = 0; i < command->subcommand_count; i++)
        count += cat_commands(run, &command->subcommands[i], category);
    return count;
}

/* ACL CAT [category] */
void acl_cat(struct command_run *run)
{
    size_t known = sizeof categories / sizeof *categories;
    if (run->argc > 3) {
        argument_unknown(run);
        return;
    }
    if (run->argc == 2) {
        reply_array(run->reply, known);
        for (size_t i = 0; i < known; i++) reply_bulk_text(run->reply, categories[i]);
        return;
    }
    struct slice name = argument_text(run->argv[2]);
    size_t place = 0;
    while (place < known && !slice_equal_nocase(name, categories[place])) place++;
    if (place == known) {
        reply_error_format(run->reply, "ERR Unknown category '%.*s'", (int)name.size, name.data);
        return;
    }
    struct reply_deferred deferred = reply_defer(run->reply);
    uint64_t count = 0;
    for (int i = 0; i < command_count(); i++)
        count += cat_commands(run, command_at(i), categories[place]);
    reply_defer_array(run->reply, deferred, count);
}

/* ACL GENPASS [bits]: four bits to a letter. */
void acl_genpass(struct command_run *run)
{
    static const char error[] = "ERR ACL GENPASS argument must be the number of bits for the "
                                "output password, a positive number up to 4096";
    int64_t bits = PASSWORD_DEFAULT_BITS;
    if (run->argc > 3) {
        argument_unknown(run);
        return;
    }
    if (run->argc == 3 && !run_get_integer(run, run->argv[2], &bits)) return;
    if (bits <= 0 || bits > PASSWORD_MAX_BITS) {
        reply_error(run->reply, error);
        return;
    }
    unsigned char random[PASSWORD_MAX_BITS / 4];
    char text[sizeof random];
    size_t size = (size_t)(bits + 3) / 4, have = 0;
    while (have < size) {
        ssize_t got = getrandom(random + have, size - have, 0);
        if (got > 0) have += (size_t)got;
    }
    for (size_t i = 0; i < size; i++) text[i] = "0123456789abcdef"[random[i] & 15];
    reply_bulk(run->reply, slice_make(text, size));
}

/* ACL DRYRUN username command [arg ...]: the only user may do all that could run. */
void acl_dryrun(struct command_run *run)
{
    if (!slice_equal(run->argv[2], SLICE_LITERAL("default"))) {
        struct slice name = argument_text(run->argv[2]);
        reply_error_format(run->reply, "ERR User '%.*s' not found", (int)name.size, name.data);
        return;
    }
    int argc = run->argc - 3;
    const struct slice *argv = run->argv + 3;
    const struct command *command = command_find(argv[0]);
    if (command && command->subcommands && argc > 1) command = command_find_sub(command, argv[1]);
    if (!command) {
        struct slice name = argument_text(argv[0]);
        reply_error_format(run->reply, "ERR Command '%.*s' not found", (int)name.size, name.data);
    } else if (!command_takes(command, argc)) {
        reply_error_format(run->reply, "ERR wrong number of arguments for '%s' command",
                           command_full_name(command));
    } else {
        reply_ok(run->reply);
    }
}

static void no_file(struct command_run *run)
{
    reply_error(run->reply,
                "ERR This Redis instance is not configured to use an ACL file. You may want to "
                "specify users via the ACL SETUSER command and then issue a CONFIG REWRITE "
                "(assuming you have a Redis configuration file set) in order to store users in the "
                "Redis configuration.");
}

/* ACL LOAD */
void acl_load(struct command_run *run)
{
    no_file(run);
}

/* ACL SAVE */
void acl_save(struct command_run *run)
{
    no_file(run);
}

/* ACL HELP */
void acl_help(struct command_run *run)
{
    static const char *const lines[] = {
        "CAT [<category>]",
        "    List all commands that belong to <category>, or all command categories",
        "    when no category is specified.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Returns whether the user can execute the given command without executing the command.",
        "GETUSER <username>",
        "    Get the user's details.",
        "GENPASS [<bits>]",
        "    Generate a secure 256-bit user password. The optional `bits` argument can",
        "    be used to specify a different size.",
        "LIST",
        "    Show users details in config file format.",
        "LOAD",
        "    Reload users from the ACL file.",
        "LOG [<count> | RESET]",
        "    Show the ACL log entries.",
        "SAVE",
        "    Save the current config to the ACL file.",
        "USERS",
        "    List all the registered usernames.",
        "WHOAMI",
        "    Return the current connection username.",
    };
    run_reply_help(run, lines, sizeof lines / sizeof *lines);
}
