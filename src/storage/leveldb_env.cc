/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Our environment for LevelDB: the one C++ file. It only turns LevelDB's virtual calls into calls
 * of leveldb_files.c, where what is special about them is done, and errnos into LevelDB's statuses.
 * Compiled without exceptions and run-time types, as the library is (Debian's exports no
 * typeinfo). Any thread, as LevelDB calls it. */
#include "storage/leveldb_env.h"

extern "C" {
#include "base/log.h"
}

#include <errno.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

/* The two structs below are inner details of this version (its db/c.cc). */
static_assert(leveldb::kMajorVersion == 1 && leveldb::kMinorVersion == 23,
              "the environment is written for LevelDB 1.23");

struct leveldb_env_t {
    leveldb::Env *rep;
    bool is_default;
};
struct leveldb_t {
    leveldb::DB *rep;
};

namespace {

using leveldb::Slice;
using leveldb::Status;
using std::string;

enum { BUFFER_BYTES = 256 * 1024 };

/* The number at the end is for engine_leveldb.c: LevelDB hands on nothing but the text. */
Status status_of(const string &path, int error_number)
{
    if (error_number == 0) return Status::OK();
    char text[160], reason[96];
    snprintf(text, sizeof text, "%s [errno %d]", strerror_r(error_number, reason, sizeof reason),
             error_number);
    return error_number == ENOENT ? Status::NotFound(path, text) : Status::IOError(path, text);
}

class RandomFile final : public leveldb::RandomAccessFile {
public:
    RandomFile(leveldb_files *files, const string &path, int fd)
        : files_(files), path_(path), fd_(fd)
    {
    }
    ~RandomFile() override { close(fd_); }

    Status Read(uint64_t offset, size_t size, Slice *result, char *scratch) const override
    {
        size_t done;
        int error_number =
            leveldb_files_read(files_, path_.c_str(), fd_, offset, scratch, size, &done);
        *result = Slice(scratch, done);
        return status_of(path_, error_number);
    }

private:
    leveldb_files *const files_;
    const string path_;
    const int fd_;
};

/* CURRENT and the MANIFEST, at open: the same reads with a moving offset. */
class StreamFile final : public leveldb::SequentialFile {
public:
    StreamFile(leveldb_files *files, const string &path, int fd) : file_(files, path, fd) {}

    Status Read(size_t size, Slice *result, char *scratch) override
    {
        Status status = file_.Read(offset_, size, result, scratch);
        offset_ += result->size();
        return status;
    }
    Status Skip(uint64_t size) override
    {
        offset_ += size;
        return Status::OK();
    }

private:
    const RandomFile file_;
    uint64_t offset_ = 0;
};

/* Any file that is written. LevelDB flushes a table after each block, though nobody looks before it
 * is synced: its bytes go out in larger pieces. Once something has failed, everything fails. */
class OutputFile final : public leveldb::WritableFile {
public:
    OutputFile(leveldb_files *files, const string &path, int fd)
        : files_(files), path_(path), fd_(fd),
          is_table_(path.compare(path.size() - 4, 4, ".ldb") == 0)
    {
    }
    ~OutputFile() override
    {
        if (fd_ != LEVELDB_NO_FD) close(fd_);
    }

    Status Append(const Slice &data) override
    {
        if (fd_ == LEVELDB_NO_FD) { /* a log: not even copied */
            return status_of(path_, leveldb_files_append(files_, path_.c_str(), fd_, data.data(),
                                                         data.size()));
        }
        if (!failed_) buffer_.append(data.data(), data.size());
        if (buffer_.size() >= BUFFER_BYTES) write_out();
        return status_of(path_, failed_);
    }
    Status Flush() override
    {
        if (!is_table_) write_out();
        return status_of(path_, failed_);
    }
    Status Sync() override
    {
        write_out();
        if (!failed_) failed_ = leveldb_files_sync(files_, path_.c_str(), fd_);
        return status_of(path_, failed_);
    }
    Status Close() override
    {
        write_out();
        if (fd_ != LEVELDB_NO_FD && close(fd_) != 0 && !failed_) failed_ = errno;
        fd_ = LEVELDB_NO_FD;
        return status_of(path_, failed_);
    }

private:
    void write_out()
    {
        if (!failed_ && !buffer_.empty()) {
            failed_ = leveldb_files_append(files_, path_.c_str(), fd_, buffer_.data(),
                                           buffer_.size());
        }
        buffer_.clear();
    }

    leveldb_files *const files_;
    const string path_;
    int fd_;
    const bool is_table_;
    int failed_ = 0; /* the first errno */
    string buffer_;
};

class DebugLog final : public leveldb::Logger {
public:
    void Logv(const char *format, va_list arguments) override
    {
        char text[400];
        vsnprintf(text, sizeof text, format, arguments);
        text[strcspn(text, "\n")] = '\0';
        log_write(LOG_DEBUG, "leveldb: %s", text);
    }
};

class Env final : public leveldb::EnvWrapper {
public:
    explicit Env(leveldb_files *files) : EnvWrapper(leveldb::Env::Default()), files_(files) {}

    Status NewSequentialFile(const string &path, leveldb::SequentialFile **out) override
    {
        int fd, error_number = leveldb_files_open(files_, path.c_str(), &fd);
        if (error_number == 0) *out = new StreamFile(files_, path, fd);
        return status_of(path, error_number);
    }
    Status NewRandomAccessFile(const string &path, leveldb::RandomAccessFile **out) override
    {
        int fd, error_number = leveldb_files_open(files_, path.c_str(), &fd);
        /* "Not found" would tell a reader that there is no such key. */
        if (error_number == ENOENT) return Status::Corruption(path, "the table file is missing");
        if (error_number == 0) *out = new RandomFile(files_, path, fd);
        return status_of(path, error_number);
    }
    Status NewWritableFile(const string &path, leveldb::WritableFile **out) override
    {
        int fd, error_number = leveldb_files_new(files_, path.c_str(), &fd);
        if (error_number == 0) *out = new OutputFile(files_, path, fd);
        return status_of(path, error_number);
    }
    Status NewAppendableFile(const string &path, leveldb::WritableFile **) override
    {
        return Status::NotSupported(path, "nothing is appended to an old file");
    }
    Status GetChildren(const string &folder, std::vector<string> *out) override
    {
        Status status = EnvWrapper::GetChildren(folder, out);
        auto is_hidden = [&](const string &name) {
            return leveldb_files_is_hidden(files_, (folder + "/" + name).c_str());
        };
        out->erase(std::remove_if(out->begin(), out->end(), is_hidden), out->end());
        uint64_t logs[64]; /* first, so that they are removed first: a flush waits for that */
        size_t count = leveldb_files_logs(files_, logs, sizeof logs / sizeof *logs);
        for (size_t i = 0; i < count; i++) {
            out->insert(out->begin(), std::to_string(logs[i]) + ".log");
        }
        return status;
    }
    Status RemoveFile(const string &path) override
    {
        return status_of(path, leveldb_files_remove(files_, path.c_str()));
    }
    Status RenameFile(const string &from, const string &to) override
    {
        return status_of(to, leveldb_files_rename(files_, from.c_str(), to.c_str()));
    }
    Status NewLogger(const string &, leveldb::Logger **out) override
    {
        *out = new DebugLog;
        return Status::OK();
    }
    void Schedule(void (*function)(void *), void *argument) override
    {
        leveldb_files_schedule(files_, function, argument);
    }

private:
    leveldb_files *const files_;
};

} // namespace

struct leveldb_env_t *leveldb_env_wrap(struct leveldb_files *files)
{
    return new leveldb_env_t{new Env(files), false};
}

char *leveldb_env_switch_memtable(struct leveldb_t *db)
{
    Status status = db->rep->Write(leveldb::WriteOptions(), nullptr);
    return status.ok() ? nullptr : strdup(status.ToString().c_str());
}

void leveldb_env_unwrap(struct leveldb_env_t *env)
{
    delete env->rep;
    delete env;
}
