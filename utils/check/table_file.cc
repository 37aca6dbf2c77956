/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One table file of LevelDB. C++, since LevelDB's C interface has no tables. The records in it are
 * LevelDB's internal keys: the user's key, then 8 bytes, sequence << 8 | (1 a value, 0 a delete),
 * ordered by user's key, then from the newest on. Checksums are looked at here, where the offset is
 * known, and not by LevelDB. */
#include "check/table_file.h"

#include "check/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <leveldb/comparator.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/filter_policy.h>
#include <leveldb/iterator.h>
#include <leveldb/options.h>
#include <leveldb/table.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

static_assert(leveldb::kMajorVersion == 1 && leveldb::kMinorVersion == 23,
              "the internal keys are those of LevelDB 1.23");

namespace {

using leveldb::Slice;
using leveldb::Status;

enum { TRAILER_BYTES = 8, BLOCK_TRAILER_BYTES = 5, FOOTER_BYTES = 48 };

uint64_t trailer_of(const Slice &key)
{
    uint64_t trailer;
    memcpy(&trailer, key.data() + key.size() - TRAILER_BYTES, sizeof trailer);
    return trailer;
}

class InternalOrder final : public leveldb::Comparator {
public:
    int Compare(const Slice &a, const Slice &b) const override
    {
        if (a.size() < TRAILER_BYTES || b.size() < TRAILER_BYTES) return a.compare(b);
        int order = Slice(a.data(), a.size() - TRAILER_BYTES)
                        .compare(Slice(b.data(), b.size() - TRAILER_BYTES));
        if (order != 0) return order;
        uint64_t left = trailer_of(a), right = trailer_of(b);
        return left > right ? -1 : left < right;
    }
    const char *Name() const override { return "kelvin.check"; }
    void FindShortestSeparator(std::string *, const Slice &) const override {}
    void FindShortSuccessor(std::string *) const override {}
};

/* Sorts before every real version of the key. */
std::string newest(const char *key, size_t size)
{
    std::string name(key, size);
    name.append(TRAILER_BYTES, '\xff');
    return name;
}

class CheckedFile final : public leveldb::RandomAccessFile {
public:
    CheckedFile(int fd, uint64_t size) : size_(size), fd_(fd) {}
    ~CheckedFile() override { close(fd_); }

    Status Read(uint64_t offset, size_t size, Slice *result, char *scratch) const override
    {
        size_t done = 0;
        while (done < size) {
            ssize_t got = pread(fd_, scratch + done, size - done, (off_t)(offset + done));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return bad(offset, strerror(errno));
            if (got == 0) break;
            done += (size_t)got;
        }
        bytes_read_ += done;
        *result = Slice(scratch, done);
        if (size == FOOTER_BYTES && offset + size == size_) return Status::OK();
        if (done < size || size < BLOCK_TRAILER_BYTES) return bad(offset, "the file ends before");
        uint32_t stored;
        memcpy(&stored, scratch + size - 4, sizeof stored);
        if (crc32c_mask(crc32c_extend(0, scratch, size - 4)) != stored)
            return bad(offset, "wrong checksum");
        return Status::OK();
    }

    const uint64_t size_;
    mutable std::vector<uint64_t> bad_;
    mutable uint64_t bytes_read_ = 0;

private:
    Status bad(uint64_t offset, const char *reason) const
    {
        if (std::find(bad_.begin(), bad_.end(), offset) == bad_.end()) bad_.push_back(offset);
        return Status::Corruption(reason, "offset " + std::to_string(offset));
    }

    const int fd_;
};

} // namespace

struct table_file {
    InternalOrder order;
    std::unique_ptr<const leveldb::FilterPolicy> bloom;
    std::unique_ptr<CheckedFile> file;
    std::unique_ptr<leveldb::Table> table;
    std::unique_ptr<leveldb::Iterator> iterator;
    size_t of_filter;
};

struct table_file *table_file_open(const char *path, char *reason, size_t size)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0) {
        snprintf(reason, size, "%s", errno == ENOENT ? "the file is missing" : strerror(errno));
        if (fd >= 0) close(fd);
        return nullptr;
    }
    std::unique_ptr<table_file> out(new table_file);
    out->file.reset(new CheckedFile(fd, (uint64_t)info.st_size));
    out->bloom.reset(leveldb::NewBloomFilterPolicy(10)); /* so that filters are read, too */
    leveldb::Options options;
    options.comparator = &out->order;
    options.filter_policy = out->bloom.get();
    leveldb::Table *table = nullptr;
    Status status =
        leveldb::Table::Open(options, out->file.get(), (uint64_t)info.st_size, &table);
    if (!status.ok()) {
        snprintf(reason, size, "its end or its index cannot be read: %s",
                 status.ToString().c_str());
        return nullptr;
    }
    out->table.reset(table);
    out->of_filter = out->file->bad_.size();
    leveldb::ReadOptions read;
    read.fill_cache = false;
    out->iterator.reset(table->NewIterator(read));
    return out.release();
}

void table_file_close(struct table_file *table)
{
    if (!table) return;
    table->iterator.reset();
    table->table.reset();
    delete table;
}

/* What no version of LevelDB writes is passed over; block checksums make that as good as sure. */
static void skip_odd(struct table_file *table)
{
    while (table->iterator->Valid() && table->iterator->key().size() < TRAILER_BYTES)
        table->iterator->Next();
}

void table_file_seek(struct table_file *table, const char *key, size_t size)
{
    table->iterator->Seek(newest(key, size));
    skip_odd(table);
}

void table_file_next(struct table_file *table)
{
    table->iterator->Next();
    skip_odd(table);
}

bool table_file_entry(const struct table_file *table, struct table_entry *out)
{
    if (!table->iterator->Valid()) return false;
    Slice key = table->iterator->key(), value = table->iterator->value();
    uint64_t trailer = trailer_of(key);
    *out = {key.data(), key.size() - TRAILER_BYTES, value.data(), value.size(), trailer >> 8,
            (trailer & 0xff) == 0};
    return true;
}

const uint64_t *table_file_bad_blocks(const struct table_file *table, size_t *count,
                                      size_t *of_filter)
{
    *count = table->file->bad_.size();
    *of_filter = table->of_filter;
    return table->file->bad_.data();
}

uint64_t table_file_block_of(const struct table_file *table, const char *key, size_t size)
{
    return table->table->ApproximateOffsetOf(newest(key, size));
}

uint64_t table_file_bytes_read(const struct table_file *table)
{
    return table->file->bytes_read_;
}
