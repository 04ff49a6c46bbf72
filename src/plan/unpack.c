/* unpack.c - see unpack.h. */
#include "plan/unpack.h"
#include "base/compiler.h"

#include <bzlib.h>
#include <errno.h>
#include <lzma.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { OUT_BYTES = 64 * 1024, ZSTD_WINDOW_LOG_MAX = 28 };

struct unpack;
/* One format. step reads from in and writes to out of u, and says how far it came. */
enum step { STEP_MORE, STEP_STREAM_END, STEP_DAMAGED };
struct format {
	int (*begin)(struct unpack *u);
	enum step (*step)(struct unpack *u);
	void (*end)(struct unpack *u);
};

struct unpack {
	const struct format *format;
	unpack_take *take;
	void *ctx;
	union {
		z_stream z;
		lzma_stream lzma;
		bz_stream bz;
		ZSTD_DStream *zstd;
	} of;
	bool begun; /* a decoder is there */
	bool inside; /* a stream has begun and has not ended */
	bool any; /* one stream has ended */
	bool given; /* this stream has given something */
	bool damaged, stopped;
	const char *in;
	size_t in_len;
	char *out;
	size_t out_len; /* written by the last step */
};

/* ---- gzip ---- */

static int gzip_begin(struct unpack *u)
{
	memset(&u->of.z, 0, sizeof u->of.z);
	return inflateInit2(&u->of.z, 15 + 16) == Z_OK ? 0 : -ENOMEM;
}

static enum step gzip_step(struct unpack *u)
{
	u->of.z.next_in = (unsigned char *)(uintptr_t)u->in;
	u->of.z.avail_in = (unsigned)MIN(u->in_len, (size_t)UINT32_MAX);
	u->of.z.next_out = (unsigned char *)u->out;
	u->of.z.avail_out = OUT_BYTES;
	unsigned before = u->of.z.avail_in;
	int r = inflate(&u->of.z, Z_NO_FLUSH);

	u->out_len = OUT_BYTES - u->of.z.avail_out;
	u->in += before - u->of.z.avail_in;
	u->in_len -= before - u->of.z.avail_in;
	return r == Z_STREAM_END ? STEP_STREAM_END : r == Z_OK || r == Z_BUF_ERROR ? STEP_MORE : STEP_DAMAGED;
}

static void gzip_end(struct unpack *u)
{
	inflateEnd(&u->of.z);
}

/* ---- xz ---- */

static int xz_begin(struct unpack *u)
{
	u->of.lzma = (lzma_stream)LZMA_STREAM_INIT;
	return lzma_stream_decoder(&u->of.lzma, UNPACK_MEMORY_MAX, 0) == LZMA_OK ? 0 : -ENOMEM;
}

static enum step xz_step(struct unpack *u)
{
	u->of.lzma.next_in = (const uint8_t *)u->in;
	u->of.lzma.avail_in = u->in_len;
	u->of.lzma.next_out = (uint8_t *)u->out;
	u->of.lzma.avail_out = OUT_BYTES;
	lzma_ret r = lzma_code(&u->of.lzma, LZMA_RUN);

	u->out_len = OUT_BYTES - u->of.lzma.avail_out;
	u->in += u->in_len - u->of.lzma.avail_in;
	u->in_len = u->of.lzma.avail_in;
	return r == LZMA_STREAM_END ? STEP_STREAM_END : r == LZMA_OK || r == LZMA_BUF_ERROR ? STEP_MORE : STEP_DAMAGED;
}

static void xz_end(struct unpack *u)
{
	lzma_end(&u->of.lzma);
}

/* ---- zstd ---- */

static int zstd_begin(struct unpack *u)
{
	u->of.zstd = ZSTD_createDStream();
	if (u->of.zstd)
		ZSTD_DCtx_setParameter(u->of.zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
	return u->of.zstd ? 0 : -ENOMEM;
}

static enum step zstd_step(struct unpack *u)
{
	ZSTD_inBuffer in = {u->in, u->in_len, 0};
	ZSTD_outBuffer out = {u->out, OUT_BYTES, 0};
	size_t r = ZSTD_decompressStream(u->of.zstd, &out, &in);

	u->out_len = out.pos;
	u->in += in.pos;
	u->in_len -= in.pos;
	return ZSTD_isError(r) ? STEP_DAMAGED : r == 0 ? STEP_STREAM_END : STEP_MORE;
}

static void zstd_end(struct unpack *u)
{
	ZSTD_freeDStream(u->of.zstd);
}

/* ---- bzip2 ---- */

static int bzip2_begin(struct unpack *u)
{
	memset(&u->of.bz, 0, sizeof u->of.bz);
	return BZ2_bzDecompressInit(&u->of.bz, 0, 0) == BZ_OK ? 0 : -ENOMEM;
}

static enum step bzip2_step(struct unpack *u)
{
	u->of.bz.next_in = (char *)(uintptr_t)u->in;
	u->of.bz.avail_in = (unsigned)MIN(u->in_len, (size_t)UINT32_MAX);
	u->of.bz.next_out = u->out;
	u->of.bz.avail_out = OUT_BYTES;
	unsigned before = u->of.bz.avail_in;
	int r = BZ2_bzDecompress(&u->of.bz);

	u->out_len = OUT_BYTES - u->of.bz.avail_out;
	u->in += before - u->of.bz.avail_in;
	u->in_len -= before - u->of.bz.avail_in;
	return r == BZ_STREAM_END ? STEP_STREAM_END : r == BZ_OK ? STEP_MORE : STEP_DAMAGED;
}

static void bzip2_end(struct unpack *u)
{
	BZ2_bzDecompressEnd(&u->of.bz);
}

static const struct format formats[] = {
	[UNPACK_GZIP] = {gzip_begin, gzip_step, gzip_end},
	[UNPACK_XZ] = {xz_begin, xz_step, xz_end},
	[UNPACK_ZSTD] = {zstd_begin, zstd_step, zstd_end},
	[UNPACK_BZIP2] = {bzip2_begin, bzip2_step, bzip2_end},
};

/* ---- all ---- */

int unpack_create(struct unpack **ret, enum unpack_format format, unpack_take *take, void *ctx, struct err *err)
{
	CLEANUP(unpack_destroy_p) struct unpack *u = calloc(1, sizeof *u);

	if (!u || !(u->out = malloc(OUT_BYTES)))
		return err_set(err, -ENOMEM, "out of memory");
	u->format = &formats[format];
	u->take = take;
	u->ctx = ctx;
	if (u->format->begin(u) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	u->begun = true;
	*ret = TAKE(u);
	return 0;
}

void unpack_destroy(struct unpack *u)
{
	if (!u)
		return;
	if (u->begun)
		u->format->end(u);
	free(u->out);
	free(u);
}

/* Another stream may follow; zeros that fill up a tape or a block are none. */
static bool stream_begin(struct unpack *u)
{
	while (u->any && u->in_len > 0 && *u->in == '\0') {
		u->in++;
		u->in_len--;
	}
	if (u->in_len == 0)
		return false;
	if (u->any) {
		u->format->end(u);
		u->begun = u->format->begin(u) == 0;
		u->damaged = !u->begun;
	}
	u->inside = u->begun;
	u->given = false;
	return u->begun;
}

bool unpack_feed(struct unpack *u, const char *data, size_t len)
{
	u->in = data;
	u->in_len = len;
	while (!u->damaged && !u->stopped && (u->inside || stream_begin(u))) {
		size_t before = u->in_len;
		enum step step = u->format->step(u);

		u->given = u->given || u->out_len > 0;
		if (u->out_len > 0 && !u->take(u->ctx, u->out, u->out_len))
			u->stopped = true;
		if (step == STEP_DAMAGED) {
			/* What stands behind a whole stream and is none is passed over, as the formats' own programs do. */
			u->damaged = !u->any || u->given;
			u->stopped = true;
			u->inside = false;
		} else if (step == STEP_STREAM_END) {
			u->inside = false;
			u->any = true;
		} else if (u->in_len == before && u->out_len == 0) {
			break; /* it wants more */
		} else if (u->in_len == 0 && u->out_len < OUT_BYTES) {
			break;
		}
	}
	return !u->damaged && !u->stopped;
}

enum unpack_state unpack_end(const struct unpack *u)
{
	if (u->damaged)
		return UNPACK_DAMAGED;
	return !u->stopped && (u->inside || !u->any) ? UNPACK_CUT : UNPACK_WHOLE;
}
