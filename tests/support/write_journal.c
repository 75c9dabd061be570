/* Loaded before libc: notes what a process writes below a folder, and when it has the disk confirm it.
 *
 * WRITE_JOURNAL_ROOT is the folder, WRITE_JOURNAL the file that the notes are added to. What is said
 * on standard output and error is noted too. Calls and notes are made in turn: the journal's order is
 * the order of the calls. Written is only what these functions write: power_cut.py compares the end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum { NONE = 0 };

struct __attribute__((packed)) head {
    char kind;
    uint64_t inode, offset, size, other_size;
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static int journal = -1;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("WRITE_JOURNAL");
    root = getenv("WRITE_JOURNAL_ROOT");
    if (path && root)
        journal = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void note(char kind, uint64_t inode, uint64_t offset, const void *data, size_t size,
                 const char *other) {
    struct head head = {kind, inode, offset, size, other ? strlen(other) : 0};
    struct iovec parts[] = {
        {&head, sizeof head}, {(void *)data, size}, {(void *)other, head.other_size}};
    int before = errno;
    if (REAL(writev)(journal, parts, 3) != (ssize_t)(sizeof head + size + head.other_size))
        abort();
    errno = before;
}

static int is_below(const char *path) {
    size_t length = strlen(root);
    return journal >= 0 && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

/* The path of a descriptor below the root, or nothing. */
static const char *path_of(int descriptor, char *path) {
    char link[32];
    if (journal < 0)
        return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return NULL;
    path[length] = 0;
    return is_below(path) ? path : NULL;
}

static uint64_t inode_of(int descriptor) {
    struct stat state;
    return fstat(descriptor, &state) ? 0 : state.st_ino;
}

static void note_write(int descriptor, const void *data, ssize_t size, off_t offset) {
    char path[PATH_MAX];
    if (size <= 0 || journal < 0)
        return;
    if (descriptor == STDOUT_FILENO || descriptor == STDERR_FILENO)
        note('P', descriptor, NONE, data, size, NULL);
    else if (path_of(descriptor, path))
        note('W', inode_of(descriptor), offset, data, size, NULL);
}

ssize_t write(int descriptor, const void *data, size_t size) {
    pthread_mutex_lock(&turn);
    ssize_t written = REAL(write)(descriptor, data, size);
    int before = errno;
    note_write(descriptor, data, written, lseek(descriptor, 0, SEEK_CUR) - written);
    errno = before;
    pthread_mutex_unlock(&turn);
    return written;
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
    pthread_mutex_lock(&turn);
    ssize_t written = REAL(pwrite64)(descriptor, data, size, offset);
    note_write(descriptor, data, written, offset);
    pthread_mutex_unlock(&turn);
    return written;
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset) {
    return pwrite64(descriptor, data, size, offset);
}

int ftruncate64(int descriptor, off64_t size) {
    char path[PATH_MAX];
    pthread_mutex_lock(&turn);
    int result = REAL(ftruncate64)(descriptor, size);
    if (!result && path_of(descriptor, path))
        note('T', inode_of(descriptor), size, NULL, 0, NULL);
    pthread_mutex_unlock(&turn);
    return result;
}

int ftruncate(int descriptor, off_t size) { return ftruncate64(descriptor, size); }

static int synced(int descriptor, int (*sync)(int)) {
    char path[PATH_MAX];
    pthread_mutex_lock(&turn);
    int result = sync(descriptor);
    if (!result && path_of(descriptor, path))
        note('S', inode_of(descriptor), NONE, path, strlen(path), NULL);
    pthread_mutex_unlock(&turn);
    return result;
}

int fsync(int descriptor) { return synced(descriptor, REAL(fsync)); }

int fdatasync(int descriptor) { return synced(descriptor, REAL(fdatasync)); }

static int opened(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat state;
    pthread_mutex_lock(&turn);
    int before = errno;
    int is_new = flags & O_CREAT && fstatat(folder, name, &state, AT_SYMLINK_NOFOLLOW);
    errno = before;
    int descriptor = REAL(openat)(folder, name, flags, mode);
    if (descriptor >= 0 && (is_new || flags & O_TRUNC) && path_of(descriptor, path)) {
        if (is_new)
            note('C', inode_of(descriptor), NONE, path, strlen(path), NULL);
        else
            note('T', inode_of(descriptor), 0, NULL, 0, NULL);
    }
    pthread_mutex_unlock(&turn);
    return descriptor;
}

#define WITH_MODE(call)                                                                            \
    mode_t mode = 0;                                                                               \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                           \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }                                                                                              \
    return call

int open(const char *name, int flags, ...) { WITH_MODE(opened(AT_FDCWD, name, flags, mode)); }
int open64(const char *name, int flags, ...) { WITH_MODE(opened(AT_FDCWD, name, flags, mode)); }
int openat(int folder, const char *name, int flags, ...) {
    WITH_MODE(opened(folder, name, flags, mode));
}
int openat64(int folder, const char *name, int flags, ...) {
    WITH_MODE(opened(folder, name, flags, mode));
}

static int named(char kind, const char *path, const char *other, int result) {
    if (!result && is_below(path))
        note(kind, NONE, NONE, path, strlen(path), other);
    pthread_mutex_unlock(&turn);
    return result;
}

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&turn);
    return named('R', from, to, REAL(rename)(from, to));
}

int unlink(const char *path) {
    pthread_mutex_lock(&turn);
    return named('U', path, NULL, REAL(unlink)(path));
}

int mkdir(const char *path, mode_t mode) {
    pthread_mutex_lock(&turn);
    return named('D', path, NULL, REAL(mkdir)(path, mode));
}
