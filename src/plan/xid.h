/* xid.h - the numbers with which NVIDIA's driver reports what is wrong with a GPU ("NVRM: Xid (PCI:0000:3b:00): 79, ..."): what
 * each means, and by what is to be done about it.
 *
 * Source: NVIDIA, "Xid Errors", Analyzing Xid Errors with the Xid Catalog (docs.nvidia.com/deploy/xid-errors, as of driver R580),
 * columns Description, Immediate Action and Investigatory Action; 1 to 10, 16 to 30, 47, 61 and others that the catalog calls unused
 * on Ampere and later: the table of the same document for older GPUs.
 * Thread: pure. Memory: constant. */
#ifndef STATOR_PLAN_XID_H
#define STATOR_PLAN_XID_H

#include <stdint.h>

enum { XID_MAX = 172 };

enum xid_kind {
	XID_UNKNOWN, /* in no table */
	XID_PROGRAM, /* mostly a program's fault: restart it, look at it */
	XID_DRIVER, /* the driver, its firmware or its versions */
	XID_MEMORY, /* the GPU's memory is faulty: reset, replace when it comes again */
	XID_LINK, /* NVLink, NVSwitch or C2C */
	XID_LOST, /* the GPU is gone from the bus */
	XID_HUNG, /* it hangs, or its microcontrollers do: reset */
	XID_POWER, /* power, slot or cable */
	XID_NOTE, /* nothing to do but to watch */
	XID_FOLLOWS, /* only says what follows from another one */
};

enum xid_kind xid_kind(uint32_t number);
/* "program", "memory", ...; NULL behind the last. */
const char *xid_kind_name(enum xid_kind kind);
/* What it means, a few words; NULL: not known. */
const char *xid_meaning(uint32_t number);

#endif
