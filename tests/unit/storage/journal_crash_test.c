/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Power cuts and kills at random moments, generation after generation, in recovery too: what was
 * reported as synced is there, in order and whole, and nothing else than what was written. */
#include "journal_support.h"

#include "journal_disk.h"

struct world {
    struct fixture *fixture;
    struct disk *disk;
    unsigned generation;
    uint64_t synced;   /* reported */
    uint64_t acknowledged;
    uint64_t appended;
    uint64_t marker; /* durable in the store */
};

static void next_folder(struct world *world, char *out, size_t size)
{
    snprintf(out, size, "%s/generation-%u", world->fixture->base, ++world->generation);
}

/* Everything stops here; the next generation finds what is left. */
static void crash(struct world *world, bool is_cut)
{
    struct fixture *fixture = world->fixture;
    struct disk *disk = world->disk;
    char folder[300];
    next_folder(world, folder, sizeof folder);
    pthread_mutex_lock(&disk->lock);
    if (fixture->journal) {
        world->acknowledged = journal_acknowledged_sequence(fixture->journal);
        world->synced = journal_synced_sequence(fixture->journal);
    }
    disk->is_dead = true;
    if (is_cut)
        disk_copy_cut(disk, folder, (unsigned)(disk_random(disk) % 4 * 33));
    else
        disk_copy_killed(disk, folder);
    pthread_mutex_unlock(&disk->lock);
    if (fixture->journal) journal_close(fixture->journal, &fixture->error);
    fixture->journal = NULL;
    mailbox_deliver(fixture->home);
    disk_forget(disk);
    disk->is_dead = disk->is_short = false;
    disk->fail_at = 0;
    snprintf(fixture->folder, sizeof fixture->folder, "%s", folder);
}

/* Opens what a crash has left, and checks it. */
static struct journal_found recover(struct world *world, bool was_cut)
{
    struct fixture *fixture = world->fixture;
    struct journal_found found = fixture_open(fixture);
    uint64_t must = was_cut ? world->synced : world->acknowledged;
    if (must < world->synced) must = world->synced;
    assert_false(found.empty);
    assert_true(found.base_sequence <= world->marker);
    assert_true(found.next_sequence > world->marker);
    if (found.next_sequence <= must)
        fail_msg("%s: found up to %llu, but %llu was promised (appended %llu)",
                 was_cut ? "cut" : "killed", (unsigned long long)found.next_sequence - 1,
                 (unsigned long long)must, (unsigned long long)world->appended);
    assert_true(found.next_sequence <= world->appended + 1);
    if (found.last_sequence) {
        assert_int_equal(found.first_sequence, found.base_sequence + 1);
        assert_int_equal(found.next_sequence, found.last_sequence + 1);
        expect_records(fixture, found.first_sequence, found.last_sequence);
    } else {
        assert_int_equal(found.next_sequence, found.base_sequence + 1);
    }
    return found;
}

/* The start of a run, cut off after some calls, again and again, until one comes through. */
static void start_with_crashes(struct world *world, uint64_t first_sequence)
{
    struct fixture *fixture = world->fixture;
    struct disk *disk = world->disk;
    struct journal_events events = {fixture, count_acknowledged, count_space, count_health};
    world->marker = first_sequence - 1; /* all found is applied, and that is durable */
    for (unsigned round = 0;; round++) {
        if (round < 4) {
            disk->fail_at = disk->calls + 1 + disk_random(disk) % 40;
            disk->fail_count = ~0ul >> 1;
            disk->fail_errno = EIO;
        }
        world->synced = world->acknowledged = world->appended = first_sequence - 1;
        journal_set_events(fixture->journal, fixture->home, &events);
        enum status status = journal_start_run(fixture->journal, STORE_ID, first_sequence,
                                               &fixture->error);
        if (status == STATUS_OK) {
            pthread_mutex_lock(&disk->lock);
            disk->fail_at = 0;
            pthread_mutex_unlock(&disk->lock);
            return;
        }
        bool is_cut = disk_random(disk) % 2;
        journal_close(fixture->journal, NULL);
        fixture->journal = NULL;
        crash(world, is_cut);
        struct journal_found found = recover(world, is_cut);
        assert_int_equal(found.next_sequence, first_sequence);
    }
}

static void work(struct world *world, unsigned turns)
{
    struct fixture *fixture = world->fixture;
    struct journal *journal = fixture->journal;
    struct disk *disk = world->disk;
    for (unsigned turn = 0; turn < turns; turn++) {
        if (disk_random(disk) % 10 == 0) { /* some calls in a row fail */
            pthread_mutex_lock(&disk->lock);
            disk->fail_at = disk->calls + 1 + disk_random(disk) % 10;
            disk->fail_count = 1 + disk_random(disk) % 4;
            disk->fail_errno = disk_random(disk) % 2 ? EIO : ENOSPC;
            pthread_mutex_unlock(&disk->lock);
        }
        unsigned records = (unsigned)(disk_random(disk) % 60);
        for (unsigned i = 0; i < records; i++)
            world->appended = append_record(fixture, 1 + (unsigned)(disk_random(disk) % 3));
        if (disk_random(disk) % 50 == 0)
            world->appended = append_record_of(fixture, 1, 70000 + disk_random(disk) % 100000);
        journal_end_turn(journal);
        mailbox_deliver(fixture->home);
        if (disk_random(disk) % 3 == 0) journal_request_sync(journal);
        if (disk_random(disk) % 4 == 0) wait_for_acknowledged(fixture, world->appended);
        if (disk_random(disk) % 5 == 0) {
            uint64_t synced = journal_synced_sequence(journal);
            if (disk_random(disk) % 2 && synced > 200) synced -= 200;
            if (synced > world->marker) world->marker = synced;
            journal_set_marked(journal, world->marker);
        }
    }
}

static void run_world(struct fixture *fixture, uint64_t seed, unsigned generations)
{
    struct disk *disk = disk_create(seed);
    struct world world = {.fixture = fixture, .disk = disk};
    fixture->files = &disk->operations;
    next_folder(&world, fixture->folder, sizeof fixture->folder);
    assert_true(fixture_open(fixture).empty);
    fixture_start(fixture, 1000);
    world.marker = world.synced = world.acknowledged = world.appended = 999;
    for (unsigned i = 0; i < generations; i++) {
        fixture->options.appendfsync = (int)(disk_random(disk) % 3);
        pthread_mutex_lock(&disk->lock);
        disk->is_short = disk_random(disk) % 4 == 0;
        pthread_mutex_unlock(&disk->lock);
        work(&world, (unsigned)(disk_random(disk) % 40));
        bool is_cut = disk_random(disk) % 3 > 0;
        crash(&world, is_cut);
        struct journal_found found = recover(&world, is_cut);
        start_with_crashes(&world, found.next_sequence);
    }
    fixture_close(fixture);
    disk_destroy(disk);
}

static void what_was_synced_survives_every_crash(void **state)
{
    struct fixture *fixture = *state;
    const char *rounds = getenv("JOURNAL_CRASH_ROUNDS"), *seed = getenv("JOURNAL_CRASH_SEED");
    unsigned count = rounds ? (unsigned)atoi(rounds) : 12;
    for (unsigned i = 0; i < count; i++) {
        char command[400];
        run_world(fixture, i + 1 + (seed ? strtoul(seed, NULL, 10) : 0), 6);
        snprintf(command, sizeof command, "rm -rf %s/generation-*", fixture->base);
        assert_int_equal(system(command), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"what_was_synced_survives_every_crash (mmap)", what_was_synced_survives_every_crash,
         fixture_setup_mmap, fixture_teardown, NULL},
        {"what_was_synced_survives_every_crash (write)", what_was_synced_survives_every_crash,
         fixture_setup_write, fixture_teardown, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
