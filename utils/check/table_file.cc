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
#include <utility>
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
    CheckedFile(int fd, uint64_t size) : real_size_(size), size_(size), fd_(fd) {}
    ~CheckedFile() override { close(fd_); }

    /* As if these bytes followed. */
    void set_tail(const std::string &tail)
    {
        tail_ = tail;
        size_ = real_size_ + tail.size();
    }

    /* Short at the end, and where the disk does not give the rest. */
    size_t read_some(uint64_t offset, size_t size, char *out) const
    {
        size_t done = 0;
        while (done < size && offset + done < real_size_) {
            ssize_t got = pread(fd_, out + done, size - done, (off_t)(offset + done));
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) return done;
            done += (size_t)got;
        }
        bytes_read_ += done;
        while (done < size && offset + done < size_) {
            out[done] = tail_[offset + done - real_size_];
            done++;
        }
        return done;
    }

    Status Read(uint64_t offset, size_t size, Slice *result, char *scratch) const override
    {
        size_t done = read_some(offset, size, scratch);
        *result = Slice(scratch, done);
        if (size == FOOTER_BYTES && offset + size == size_) return Status::OK();
        if (done < size || size < BLOCK_TRAILER_BYTES) return bad(offset, "the file ends before");
        uint32_t stored;
        memcpy(&stored, scratch + size - 4, sizeof stored);
        if (crc32c_mask(crc32c_extend(0, scratch, size - 4)) != stored)
            return bad(offset, "wrong checksum");
        return Status::OK();
    }

    const uint64_t real_size_;
    uint64_t size() const { return size_; }

    mutable std::vector<uint64_t> bad_;
    mutable uint64_t bytes_read_ = 0;

private:
    Status bad(uint64_t offset, const char *reason) const
    {
        if (std::find(bad_.begin(), bad_.end(), offset) == bad_.end()) bad_.push_back(offset);
        return Status::Corruption(reason, "offset " + std::to_string(offset));
    }

    uint64_t size_;
    std::string tail_;
    const int fd_;
};

/* --- a table without its end: the tail that it should have --- */

struct Handle {
    uint64_t offset, size; /* without the block's trailer */
};

void append_number(std::string *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) out->push_back((char)(value | 0x80));
    out->push_back((char)value);
}

void append_word(std::string *out, uint32_t value)
{
    out->append((const char *)&value, sizeof value);
}

/* Closes a block that begins at `start` of `out`. */
Handle end_block(std::string *out, size_t start, uint64_t file_offset)
{
    Handle handle = {file_offset + start, out->size() - start};
    out->push_back('\0'); /* not compressed */
    append_word(out, crc32c_mask(crc32c_extend(0, out->data() + start, out->size() - start)));
    return handle;
}

/* An index (a block of key -> handle), an empty index of filters, and the footer. */
std::string make_tail(uint64_t file_offset,
                      const std::vector<std::pair<std::string, Handle>> &blocks)
{
    std::string tail, footer;
    std::vector<uint32_t> starts;
    for (const auto &block : blocks) {
        std::string handle;
        append_number(&handle, block.second.offset);
        append_number(&handle, block.second.size);
        starts.push_back((uint32_t)tail.size());
        append_number(&tail, 0); /* shares nothing with the key before */
        append_number(&tail, block.first.size());
        append_number(&tail, handle.size());
        tail += block.first + handle;
    }
    for (uint32_t start : starts) append_word(&tail, start);
    append_word(&tail, (uint32_t)starts.size());
    Handle index = end_block(&tail, 0, file_offset);
    size_t begin = tail.size();
    append_word(&tail, 0);
    append_word(&tail, 1);
    Handle filters = end_block(&tail, begin, file_offset);
    for (const Handle &handle : {filters, index}) {
        append_number(&footer, handle.offset);
        append_number(&footer, handle.size);
    }
    footer.resize(FOOTER_BYTES - 8);
    append_word(&footer, 0x8b80fb57u);
    append_word(&footer, 0xdb477524u);
    return tail + footer;
}

leveldb::Table *open_table(const leveldb::Options &options, CheckedFile *file, Status *status)
{
    leveldb::Table *table = nullptr;
    *status = leveldb::Table::Open(options, file, file->size(), &table);
    return table;
}

/* The last internal key of one block; empty when it is none of records. */
std::string last_key(const leveldb::Options &options, CheckedFile *file, const Handle &block)
{
    Status status;
    std::string last;
    file->set_tail(make_tail(file->real_size_, {{newest("", 0), block}}));
    std::unique_ptr<leveldb::Table> table(open_table(options, file, &status));
    if (!table) return last;
    std::unique_ptr<leveldb::Iterator> at(table->NewIterator(leveldb::ReadOptions()));
    at->SeekToLast();
    if (at->Valid() && at->key().size() >= TRAILER_BYTES) last = at->key().ToString();
    return last;
}

/* The size of the block that begins there, known by its checksum; 0: there is none. */
uint64_t find_block(const CheckedFile *file, uint64_t offset)
{
    enum { PIECE_BYTES = 1 << 16, MOST_BYTES = 8 << 20 };
    std::string bytes;
    uint32_t crc = 0;
    for (size_t size = 0; size < MOST_BYTES; size++) {
        if (size + BLOCK_TRAILER_BYTES > bytes.size()) {
            size_t have = bytes.size();
            bytes.resize(have + PIECE_BYTES);
            bytes.resize(have + file->read_some(offset + have, PIECE_BYTES, &bytes[have]));
            if (size + BLOCK_TRAILER_BYTES > bytes.size()) return 0;
        }
        if ((unsigned char)bytes[size] <= 1) { /* how it is compressed */
            uint32_t stored;
            memcpy(&stored, &bytes[size + 1], sizeof stored);
            if (crc32c_mask(crc32c_extend(crc, &bytes[size], 1)) == stored) return size;
        }
        crc = crc32c_extend(crc, &bytes[size], 1);
    }
    return 0;
}

/* Gives the file the tail that it should have. What comes behind the last block that was found, up to
 * `largest`, becomes a block that cannot be read. */
void rebuild_tail(const leveldb::Options &options, CheckedFile *file, const std::string &largest)
{
    std::vector<std::pair<std::string, Handle>> blocks;
    uint64_t offset = 0;
    bool is_whole = false;
    file->set_tail("");
    while (!is_whole) {
        Handle block = {offset, find_block(file, offset)};
        if (block.size == 0) break;
        std::string last = last_key(options, file, block);
        file->set_tail("");
        if (last.empty()) break;
        if (!blocks.empty() && options.comparator->Compare(last, blocks.back().first) <= 0) break;
        Slice user(last.data(), last.size() - TRAILER_BYTES);
        if (user.compare(largest) > 0) break;
        is_whole = user.compare(largest) == 0;
        blocks.emplace_back(last, block);
        offset += block.size + BLOCK_TRAILER_BYTES;
    }
    if (!is_whole)
        blocks.emplace_back(largest + std::string(TRAILER_BYTES, '\0'), Handle{offset, 1});
    file->set_tail(make_tail(file->real_size_, blocks));
    file->bad_.clear();
}

} // namespace

struct table_file {
    InternalOrder order;
    std::unique_ptr<const leveldb::FilterPolicy> bloom;
    std::unique_ptr<CheckedFile> file;
    std::unique_ptr<leveldb::Table> table;
    std::unique_ptr<leveldb::Iterator> iterator;
    size_t of_filter;
};

struct table_file *table_file_open(const char *path, const char *largest, size_t largest_size,
                                   char *reason, size_t size)
{
    struct stat info;
    *reason = '\0';
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
    Status status;
    out->table.reset(open_table(options, out->file.get(), &status));
    if (!status.ok()) {
        snprintf(reason, size, "its end or its index cannot be read (%s)",
                 status.ToString().c_str());
        if (!largest) return nullptr;
        rebuild_tail(options, out->file.get(), std::string(largest, largest_size));
        out->table.reset(open_table(options, out->file.get(), &status));
        if (!status.ok()) return nullptr;
    }
    out->of_filter = out->file->bad_.size();
    leveldb::ReadOptions read;
    read.fill_cache = false;
    out->iterator.reset(out->table->NewIterator(read));
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
