/* net_wait.h - run a real loop until a condition holds, with a deadline; plain blocking sockets to talk to it. */
#ifndef STATOR_TESTS_NET_WAIT_H
#define STATOR_TESTS_NET_WAIT_H

#include "net/loop.h"

enum { NET_WAIT_MS = 10000 };

/* Run l until cond(ctx) is true, looking after every turn in which something of the test's happened and at least every
 * millisecond; false when ms went by. */
bool net_run_until(struct loop *l, bool (*cond)(void *ctx), void *ctx, uint32_t ms);
/* Run l for so long: for what must not happen. */
void net_run_for(struct loop *l, uint32_t ms);

/* A blocking socket connected to addr ("127.0.0.1:80", "unix:/path"). -1 with errno when that fails. Reads and writes give
 * up after NET_WAIT_MS. */
int net_dial(const char *addr);
/* A folder of this test's own; removed by net_temp_done. Returns owned. */
char *net_temp_dir(void);
void net_temp_done(char *dir);

#endif
