/* unix_socket.h - listening sockets in the file system, for this user alone (mode 0600).
 *
 *   unix_socket_bind -> listen -> ... -> unix_socket_remove, close
 * Thread: any. Memory: none kept. */
#ifndef STATOR_NET_UNIX_SOCKET_H
#define STATOR_NET_UNIX_SOCKET_H

#include "base/err.h"

#include <sys/types.h>

/* A bound socket (CLOEXEC, non-blocking), owned by the caller, and the file's inode number in ret_inode. A file that a dead
 * process left there is replaced; one that somebody listens on, or that is no socket, is not. */
int unix_socket_bind(const char *path, ino_t *ret_inode, struct err *err);
/* Remove the file, when it is still the one with that inode number: a successor may have replaced it. */
void unix_socket_remove(const char *path, ino_t inode);

#endif
