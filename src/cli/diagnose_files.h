/* diagnose_files.h - what the command line of stator diagnose names, read: files, pipes, folders with all that is in them.
 *
 * Nothing is waited for that nobody writes: a FIFO without a writer is given up after some seconds, sockets and devices within a
 * folder are passed over. A folder's files are read in the order of their names, links are followed once, and nothing is read
 * twice. Thread: main's. Memory: names of one folder at a time, and a set of what was read. */
#ifndef STATOR_CLI_DIAGNOSE_FILES_H
#define STATOR_CLI_DIAGNOSE_FILES_H

#include "plan/diagnose_input.h"

enum {
	DIAGNOSE_FOLDER_DEPTH_MAX = 24,
	DIAGNOSE_FOLDER_NAMES_MAX = 100000, /* in one folder */
	DIAGNOSE_SEEN_MAX = 1 << 17, /* files and folders in all */
	DIAGNOSE_PIPE_WAIT_S = 10, /* for the first writer of a FIFO */
};

struct diagnose_files {
	struct diagnose_input *input;
	char *data;
	uint64_t *seen; /* device and inode, hashed; 0: free */
	uint32_t seen_len;
	uint32_t folders, specials; /* specials: devices, sockets and FIFOs of folders, passed over */
	bool unread; /* something that was named could not be read */
	bool incomplete; /* something in a folder could not */
};

int diagnose_files_init(struct diagnose_files *f, struct diagnose_input *input, struct err *err);
void diagnose_files_done(struct diagnose_files *f);
/* A file or folder, or "-" for standard input. What cannot be read is said on stderr and noted. */
void diagnose_files_read(struct diagnose_files *f, const char *name);

#endif
