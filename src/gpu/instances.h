/* instances.h - machines that people name instead of their GPUs: "g5.12xlarge" has 4xA10G (data/instances.txt, built in).
 *
 * Thread: any. Memory: the table, for the process's life. */
#ifndef STATOR_GPU_INSTANCES_H
#define STATOR_GPU_INSTANCES_H

/* Its GPUs as gpu_inventory_from_spec takes them, constant; NULL: no such machine, or no memory to read the table. Marks and case do
 * not count, nor "Standard_" and "ml." in front. */
const char *gpu_instance_find(const char *name);
/* The name of a machine that is nearly that; NULL: none. */
const char *gpu_instance_suggest(const char *name);

#endif
