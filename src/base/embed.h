/* embed.h - a file of data/ inside the program: EMBED_FILE(gpus, "data/gpus.txt") at file scope defines gpus_text[] and
 * gpus_len, read-only; a NUL follows the bytes. The path counts from the top of the tree, where make runs; mk/embedded.mk
 * says which object depends on which file. */
#ifndef STATOR_BASE_EMBED_H
#define STATOR_BASE_EMBED_H

#include <stdint.h>

#define EMBED_FILE(name, path)                                                                                         \
	__asm__(".section .rodata\n.balign 8\n" #name "_text:\n.incbin \"" path "\"\n" #name                           \
		"_end_:\n.byte 0\n.balign 8\n" #name "_len:\n.quad " #name "_end_ - " #name "_text\n.previous\n");     \
	extern const char name##_text[];                                                                               \
	extern const uint64_t name##_len

#endif
