/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Our environment for LevelDB (leveldb_env.h says what it does and why): the one C++ file, compiled
 * without exceptions and run-time types, as the library is. Any thread, unless said otherwise.
 *
 * How an environment knows that a memtable is durable (read from LevelDB 1.23). Each memtable has a
 * log file; MakeRoomForWrite creates the next log, under LevelDB's mutex, right before it makes the
 * full memtable immutable, and waits beforehand until the previous immutable one is gone. So the
 * n-th log created after the open is the n-th switch, and at most one memtable waits to be written.
 * CompactMemTable writes and syncs its table, then LogAndApply appends a record to the MANIFEST that
 * names the table and says "logs below the present one are not needed", and syncs it; only when all
 * of that went well does LevelDB's log number move, and RemoveObsoleteFiles removes exactly the logs
 * below that number (none after a background error). Hence: when LevelDB removes the log of memtable
 * n, memtables 0..n are in synced tables that a synced MANIFEST names. Our logs are names in a map:
 * creating one puts it there, GetChildren lists it, removing takes it out. */
#include "storage/leveldb_env.h"

extern "C" {
#include "base/clock.h"
#include "base/log.h"
}

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>

/* leveldb_env_t below is an inner detail of this version (its db/c.cc). */
static_assert(leveldb::kMajorVersion == 1 && leveldb::kMinorVersion == 23,
              "the environment is written for LevelDB 1.23");

struct leveldb_env_t {
    leveldb::Env *rep;
    bool is_default;
};

namespace {

using leveldb::Slice;
using leveldb::Status;
using std::string;

enum { BUFFER_BYTES = 256 * 1024, COMPACTION_NICE = 10 };

std::atomic<leveldb_fault_function *> default_fault;
std::atomic<void *> default_fault_context;

thread_local char last_read_path[256];
thread_local uint64_t last_read_offset;

bool ends_with(const string &text, const char *end)
{
    size_t size = strlen(end);
    return text.size() >= size && text.compare(text.size() - size, size, end) == 0;
}

string base_name(const string &path) { return path.substr(path.rfind('/') + 1); }
string folder_of(const string &path) { return path.substr(0, path.rfind('/')); }
bool is_log(const string &path) { return ends_with(path, ".log"); }
bool is_table(const string &path) { return ends_with(path, ".ldb") || ends_with(path, ".sst"); }
bool is_manifest(const string &path) { return base_name(path).compare(0, 9, "MANIFEST-") == 0; }

/* The number at the end is for engine_leveldb.c: LevelDB hands on texts only. */
Status failed(const string &path, int error_number)
{
    char text[160], reason[96];
    snprintf(text, sizeof text, "%s [errno %d]", strerror_r(error_number, reason, sizeof reason),
             error_number);
    return error_number == ENOENT ? Status::NotFound(path, text) : Status::IOError(path, text);
}

class Env;

class RandomFile final : public leveldb::RandomAccessFile {
public:
    RandomFile(Env *env, const string &path, int fd) : env_(env), path_(path), fd_(fd) {}
    ~RandomFile() override { close(fd_); }
    Status Read(uint64_t offset, size_t size, Slice *result, char *scratch) const override;

private:
    Env *const env_;
    const string path_;
    const int fd_;
};

/* CURRENT and the MANIFEST, at open: the same reads with a moving offset. */
class StreamFile final : public leveldb::SequentialFile {
public:
    StreamFile(Env *env, const string &path, int fd) : file_(env, path, fd) {}
    Status Read(size_t size, Slice *result, char *scratch) override
    {
        Status status = file_.Read(offset_, size, result, scratch);
        if (status.ok()) offset_ += result->size();
        return status;
    }
    Status Skip(uint64_t size) override
    {
        offset_ += size;
        return Status::OK();
    }

private:
    RandomFile file_;
    uint64_t offset_ = 0;
};

/* A table, a MANIFEST or a temporary file. A table's bytes go out in large pieces, since nobody
 * looks before it is synced. Once anything has failed, everything fails. */
class OutputFile final : public leveldb::WritableFile {
public:
    OutputFile(Env *env, const string &path, int fd)
        : env_(env), path_(path), fd_(fd), is_table_(is_table(path))
    {
        buffer_.reserve(BUFFER_BYTES);
    }
    ~OutputFile() override
    {
        if (fd_ >= 0) close(fd_);
    }
    Status Append(const Slice &data) override;
    Status Flush() override { return is_table_ ? state() : write_out(); }
    Status Sync() override;
    Status Close() override;

private:
    Status state() const { return broken_ ? failed(path_, broken_) : Status::OK(); }
    Status write_out();

    Env *const env_;
    const string path_;
    int fd_;
    const bool is_table_;
    int broken_ = 0; /* the errno of the first failure */
    string buffer_;
};

class DroppedLog final : public leveldb::WritableFile {
public:
    DroppedLog(Env *env, const string &path) : env_(env), path_(path) {}
    Status Append(const Slice &data) override;
    Status Flush() override { return Status::OK(); }
    Status Sync() override { return Status::OK(); }
    Status Close() override { return Status::OK(); }

private:
    Env *const env_;
    const string path_;
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
    Env(leveldb_count_function *counting, void *context)
        : EnvWrapper(leveldb::Env::Default()), count_(counting), count_context_(context),
          fault_(default_fault.load()), fault_context_(default_fault_context.load())
    {
    }

    /* 0, or the errno that a test wants. */
    int fault(leveldb_operation operation, const string &path)
    {
        leveldb_fault_function *function = fault_.load(std::memory_order_acquire);
        return function ? function(fault_context_.load(), operation, path.c_str()) : 0;
    }
    void count(leveldb_operation operation, const string &path, uint64_t bytes, uint64_t us = 0)
    {
        if (count_) count_(count_context_, operation, path.c_str(), bytes, us);
    }
    int sync_folder(const string &folder);
    int open_file(leveldb_operation operation, const string &path, int flags, int *fd);
    int unlink_file(const string &path);
    bool start_thread();
    void end_thread();
    void run_compactions();
    void hold(bool hold);
    void set_fault(leveldb_fault_function *function, void *context)
    {
        fault_context_.store(context);
        fault_.store(function, std::memory_order_release);
    }

    Status NewSequentialFile(const string &path, leveldb::SequentialFile **out) override;
    Status NewRandomAccessFile(const string &path, leveldb::RandomAccessFile **out) override;
    Status NewWritableFile(const string &path, leveldb::WritableFile **out) override;
    Status NewAppendableFile(const string &path, leveldb::WritableFile **) override
    {
        return Status::NotSupported(path, "nothing is ever appended to an old file");
    }
    Status GetChildren(const string &folder, std::vector<string> *out) override;
    Status RemoveFile(const string &path) override;
    Status RenameFile(const string &from, const string &to) override;
    Status NewLogger(const string &, leveldb::Logger **out) override
    {
        *out = new DebugLog;
        return Status::OK();
    }
    void Schedule(void (*function)(void *), void *argument) override;

    std::atomic<uint64_t> switches{0}, durable{0};
    std::atomic<bool> is_used{false};

private:
    leveldb_count_function *const count_;
    void *const count_context_;
    std::atomic<leveldb_fault_function *> fault_;
    std::atomic<void *> fault_context_;

    std::mutex files_; /* guards the next four; held over unlink, never over a sync */
    std::map<string, uint64_t> logs_; /* name -> number of its memtable */
    std::set<string> held_;           /* paths whose deletion waits */
    bool hold_ = false;
    bool keep_all_ = false;

    std::mutex work_;
    std::condition_variable work_arrived_;
    std::deque<std::pair<void (*)(void *), void *>> queue_;
    bool ending_ = false;
    pthread_t thread_;
};

Status RandomFile::Read(uint64_t offset, size_t size, Slice *result, char *scratch) const
{
    snprintf(last_read_path, sizeof last_read_path, "%s", path_.c_str());
    last_read_offset = offset;
    int error_number = env_->fault(LEVELDB_READ, path_);
    size_t done = 0;
    while (!error_number && done < size) {
        ssize_t got = pread(fd_, scratch + done, size - done, static_cast<off_t>(offset + done));
        if (got == 0) break;
        if (got > 0) done += static_cast<size_t>(got);
        else if (errno != EINTR) error_number = errno;
    }
    *result = Slice(scratch, error_number ? 0 : done);
    if (error_number) return failed(path_, error_number);
    env_->count(LEVELDB_READ, path_, done);
    return Status::OK();
}

Status OutputFile::Append(const Slice &data)
{
    if (broken_) return state();
    buffer_.append(data.data(), data.size());
    return buffer_.size() >= BUFFER_BYTES ? write_out() : Status::OK();
}

Status OutputFile::write_out()
{
    if (broken_ || buffer_.empty()) return state();
    broken_ = env_->fault(LEVELDB_APPEND, path_);
    size_t done = 0;
    while (!broken_ && done < buffer_.size()) {
        ssize_t put = write(fd_, buffer_.data() + done, buffer_.size() - done);
        if (put >= 0) done += static_cast<size_t>(put);
        else if (errno != EINTR) broken_ = errno;
    }
    if (!broken_) env_->count(LEVELDB_APPEND, path_, buffer_.size());
    buffer_.clear();
    return state();
}

Status OutputFile::Sync()
{
    /* What a MANIFEST names must be found in the folder after a power cut. */
    Status status = write_out();
    if (status.ok() && is_manifest(path_)) broken_ = env_->sync_folder(folder_of(path_));
    int64_t start_us = clock_monotonic_us();
    if (!broken_) broken_ = env_->fault(LEVELDB_SYNC, path_);
    if (!broken_ && fdatasync(fd_) != 0) broken_ = errno;
    if (!broken_) {
        env_->count(LEVELDB_SYNC, path_, 0, static_cast<uint64_t>(clock_monotonic_us() - start_us));
    }
    return state();
}

Status OutputFile::Close()
{
    Status status = write_out();
    if (fd_ >= 0 && close(fd_) != 0 && !broken_) broken_ = errno;
    fd_ = -1;
    return state();
}

Status DroppedLog::Append(const Slice &data)
{
    env_->count(LEVELDB_APPEND, path_, data.size());
    return Status::OK();
}

int Env::open_file(leveldb_operation operation, const string &path, int flags, int *fd)
{
    int error_number = fault(operation, path);
    if (error_number) return error_number;
    *fd = open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (*fd < 0) return errno;
    count(operation, path, 0);
    return 0;
}

int Env::unlink_file(const string &path)
{
    if (unlink(path.c_str()) != 0) return errno;
    count(LEVELDB_REMOVE, path, 0);
    return 0;
}

int Env::sync_folder(const string &folder)
{
    int error_number = fault(LEVELDB_SYNC_FOLDER, folder);
    if (error_number) return error_number;
    int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno;
    if (fsync(fd) != 0) error_number = errno;
    close(fd);
    return error_number;
}

Status Env::NewSequentialFile(const string &path, leveldb::SequentialFile **out)
{
    int fd, error_number = open_file(LEVELDB_OPEN, path, O_RDONLY, &fd);
    if (error_number) return failed(path, error_number);
    *out = new StreamFile(this, path, fd);
    return Status::OK();
}

Status Env::NewRandomAccessFile(const string &path, leveldb::RandomAccessFile **out)
{
    int fd, error_number = open_file(LEVELDB_OPEN, path, O_RDONLY, &fd);
    if (error_number) return failed(path, error_number);
    *out = new RandomFile(this, path, fd);
    return Status::OK();
}

Status Env::NewWritableFile(const string &path, leveldb::WritableFile **out)
{
    std::lock_guard<std::mutex> lock(files_);
    if (is_log(path)) {
        int error_number = fault(LEVELDB_CREATE, path);
        if (error_number) return failed(path, error_number);
        uint64_t number = is_used.exchange(true) ? switches.fetch_add(1) + 1 : 0;
        logs_[base_name(path)] = number;
        *out = new DroppedLog(this, path);
        return Status::OK();
    }
    /* Never over the old bytes: a backup may hold a link to them. */
    held_.erase(path);
    unlink_file(path);
    int fd, error_number = open_file(LEVELDB_CREATE, path, O_WRONLY | O_CREAT | O_EXCL, &fd);
    if (error_number) return failed(path, error_number);
    *out = new OutputFile(this, path, fd);
    return Status::OK();
}

Status Env::GetChildren(const string &folder, std::vector<string> *out)
{
    Status status = EnvWrapper::GetChildren(folder, out);
    if (!status.ok()) return status;
    std::lock_guard<std::mutex> lock(files_);
    out->erase(std::remove_if(out->begin(), out->end(), [&](const string &name) {
                   return is_log(name) || held_.count(folder + "/" + name) != 0;
               }), out->end());
    for (const auto &log : logs_) out->push_back(log.first);
    return status;
}

Status Env::RemoveFile(const string &path)
{
    std::lock_guard<std::mutex> lock(files_);
    auto log = is_log(path) ? logs_.find(base_name(path)) : logs_.end();
    if (log != logs_.end()) {
        if (durable.load() <= log->second) durable.store(log->second + 1);
        logs_.erase(log);
        return Status::OK();
    }
    int error_number = fault(LEVELDB_REMOVE, path);
    if (error_number) return failed(path, error_number);
    if (keep_all_) return Status::OK();
    if (hold_) {
        held_.insert(path);
        return Status::OK();
    }
    error_number = unlink_file(path);
    return error_number ? failed(path, error_number) : Status::OK();
}

Status Env::RenameFile(const string &from, const string &to)
{
    if (base_name(from) == "LOG") return Status::OK(); /* there is none */
    int error_number = fault(LEVELDB_RENAME, to);
    if (!error_number && rename(from.c_str(), to.c_str()) != 0) error_number = errno;
    if (error_number) return failed(to, error_number);
    count(LEVELDB_RENAME, to, 0);
    error_number = sync_folder(folder_of(to));
    if (!error_number) return Status::OK();
    /* LevelDB would now remove the MANIFEST that CURRENT names. */
    std::lock_guard<std::mutex> lock(files_);
    keep_all_ = true;
    return failed(folder_of(to), error_number);
}

void Env::hold(bool hold)
{
    std::lock_guard<std::mutex> lock(files_);
    hold_ = hold;
    if (hold) return;
    for (const string &path : held_) unlink_file(path);
    held_.clear();
}

void Env::Schedule(void (*function)(void *), void *argument)
{
    std::lock_guard<std::mutex> lock(work_);
    queue_.emplace_back(function, argument);
    work_arrived_.notify_one();
}

void Env::run_compactions()
{
    /* On Linux both are the thread's own. Best effort: a system may forbid them. */
    setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), COMPACTION_NICE);
    const int best_effort_lowest = (2 << 13) | 7, who_process = 1;
    syscall(SYS_ioprio_set, who_process, 0, best_effort_lowest);

    std::unique_lock<std::mutex> lock(work_);
    for (;;) {
        work_arrived_.wait(lock, [this] { return ending_ || !queue_.empty(); });
        if (queue_.empty()) return;
        auto work = queue_.front();
        queue_.pop_front();
        lock.unlock();
        work.first(work.second);
        lock.lock();
    }
}

void *compaction_thread(void *env)
{
    pthread_setname_np(pthread_self(), "compaction");
    static_cast<Env *>(env)->run_compactions();
    return nullptr;
}

bool Env::start_thread()
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error_number = pthread_create(&thread_, nullptr, compaction_thread, this);
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    errno = error_number;
    return error_number == 0;
}

void Env::end_thread()
{
    {
        std::lock_guard<std::mutex> lock(work_);
        ending_ = true;
        work_arrived_.notify_one();
    }
    pthread_join(thread_, nullptr);
}

} // namespace

struct leveldb_env {
    leveldb_env(leveldb_count_function *count, void *context) : env(count, context) {}
    Env env;
    leveldb_env_t handle{&env, false};
};

struct leveldb_env *leveldb_env_start(leveldb_count_function *count, void *context)
{
    auto *env = new leveldb_env(count, context);
    if (env->env.start_thread()) return env;
    int error_number = errno;
    delete env;
    errno = error_number;
    return nullptr;
}

void leveldb_env_stop(struct leveldb_env *env)
{
    env->env.end_thread();
    delete env;
}

struct leveldb_env_t *leveldb_env_handle(struct leveldb_env *env) { return &env->handle; }
uint64_t leveldb_env_switches(struct leveldb_env *env) { return env->env.switches.load(); }
uint64_t leveldb_env_durable(struct leveldb_env *env) { return env->env.durable.load(); }
bool leveldb_env_is_used(struct leveldb_env *env) { return env->env.is_used.load(); }
void leveldb_env_hold_deletions(struct leveldb_env *env, bool hold) { env->env.hold(hold); }

void leveldb_env_note_durable(struct leveldb_env *env, uint64_t count)
{
    uint64_t known = env->env.durable.load();
    while (known < count && !env->env.durable.compare_exchange_weak(known, count)) {}
}

void leveldb_env_set_fault(struct leveldb_env *env, leveldb_fault_function *fault, void *context)
{
    if (env) {
        env->env.set_fault(fault, context);
        return;
    }
    default_fault_context.store(context);
    default_fault.store(fault);
}

void leveldb_env_forget_read(void) { last_read_path[0] = '\0'; }

bool leveldb_env_last_read(const char **path, uint64_t *offset)
{
    *path = last_read_path;
    *offset = last_read_offset;
    return last_read_path[0] != '\0';
}
