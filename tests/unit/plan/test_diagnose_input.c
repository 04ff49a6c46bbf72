/* Packed logs and archives: what they hold is what the log says, however they are cut, damaged or within each other. */
#include "plan/diagnose_input.h"
#include "plan/tar.h"
#include "plan/unpack.h"

#include <bzlib.h>
#include <lzma.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "../lib/cmocka_all.h"
#include "../lib/diagnose_catalogue.h"

enum { BYTES_MAX = 1 << 20 };

/* Packed with the library of the format, as its program does. */
static size_t pack(enum unpack_format format, const char *data, size_t len, char *ret)
{
	unsigned bz_len = BYTES_MAX;
	size_t xz_len = 0;
	z_stream z = {0};
	ZSTD_CCtx *ctx;

	switch (format) {
	case UNPACK_GZIP:
		assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
		z.next_in = (unsigned char *)(uintptr_t)data;
		z.avail_in = (unsigned)len;
		z.next_out = (unsigned char *)ret;
		z.avail_out = BYTES_MAX;
		assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
		deflateEnd(&z);
		return BYTES_MAX - z.avail_out;
	case UNPACK_XZ:
		assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, (const uint8_t *)data, len,
					 (uint8_t *)ret, &xz_len, BYTES_MAX),
			LZMA_OK);
		return xz_len;
	case UNPACK_ZSTD:
		ctx = ZSTD_createCCtx();
		ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
		xz_len = ZSTD_compress2(ctx, ret, BYTES_MAX, data, len);
		ZSTD_freeCCtx(ctx);
		return xz_len;
	case UNPACK_BZIP2:
		assert_int_equal(
			BZ2_bzBuffToBuffCompress(ret, &bz_len, (char *)(uintptr_t)data, (unsigned)len, 1, 0, 0), BZ_OK);
		return bz_len;
	}
	return 0;
}

static bool take(void *ctx, const char *data, size_t len)
{
	return buf_add(ctx, data, len) == 0;
}

/* What comes out, and how it ended. */
static enum unpack_state unpack(enum unpack_format format, const char *data, size_t len, size_t piece, struct buf *out)
{
	CLEANUP(unpack_destroy_p) struct unpack *u = NULL;
	bool more = true;

	buf_reset(out);
	assert_int_equal(unpack_create(&u, format, take, out, NULL), 0);
	for (size_t at = 0; at < len && more; at += piece)
		more = unpack_feed(u, data + at, MIN(piece, len - at));
	return unpack_end(u);
}

/* Text that does not pack to nothing. */
static size_t text_make(char *ret, size_t cap)
{
	uint32_t seed = 7;
	size_t n = 0;

	while (n + 80 < cap) {
		seed = seed * 1103515245u + 12345u;
		n += (size_t)snprintf(
			ret + n, 80, "INFO %u the line of a log with %x in it\n", seed, seed * 2654435761u);
	}
	return n;
}

static void what_was_packed_comes_out_in_any_pieces_and_streams_may_follow_each_other(void **state)
{
	char *text = malloc(BYTES_MAX), *packed = malloc(2 * BYTES_MAX);
	size_t len = text_make(text, 200000);
	struct buf out;
	(void)state;

	buf_init(&out, 4 * BYTES_MAX);
	for (int format = UNPACK_GZIP; format <= UNPACK_BZIP2; format++) {
		size_t n = pack(format, text, len, packed);

		for (size_t piece = 1; piece < 2 * n; piece = piece * 9 + 5) {
			assert_int_equal(unpack(format, packed, n, piece, &out), UNPACK_WHOLE);
			assert_int_equal(out.len, len);
			assert_memory_equal(out.data, text, len);
		}
		memcpy(packed + n, packed, n);
		memset(packed + 2 * n, 0, 512);
		assert_int_equal(unpack(format, packed, 2 * n + 512, 1000, &out), UNPACK_WHOLE);
		assert_int_equal(out.len, 2 * len);
		memcpy(packed + n, "trailing words", 14);
		assert_int_equal(unpack(format, packed, n + 14, 1000, &out), UNPACK_WHOLE);
		assert_int_equal(out.len, len);
	}
	buf_done(&out);
	free(text);
	free(packed);
}

static void a_cut_file_gives_what_it_holds_and_says_that_it_was_cut(void **state)
{
	char *text = malloc(BYTES_MAX), *packed = malloc(2 * BYTES_MAX);
	size_t len = text_make(text, 900000);
	struct buf out;
	(void)state;

	buf_init(&out, 4 * BYTES_MAX);
	for (int format = UNPACK_GZIP; format <= UNPACK_BZIP2; format++) {
		size_t n = pack(format, text, len, packed);

		assert_int_equal(unpack(format, packed, n * 3 / 4, 1000, &out), UNPACK_CUT);
		assert_true(out.len > len / 3 && out.len < len);
		assert_memory_equal(out.data, text, out.len);
		assert_int_equal(unpack(format, packed, 1, 1000, &out), UNPACK_CUT);
		/* A byte that is another one: all but gzip's checksum at its end find it where it stands. */
		packed[n * 3 / 4] ^= 0x55;
		assert_int_equal(unpack(format, packed, n, 1000, &out), UNPACK_DAMAGED);
		assert_true(out.len > len / 3);
		assert_memory_equal(out.data, text, len / 3);
	}
	buf_done(&out);
	free(text);
	free(packed);
}

/* ---- files ---- */

static size_t tar_add(char *ret, const char *name, char type, const char *data, size_t len)
{
	unsigned sum = 0;

	memset(ret, 0, TAR_BLOCK_BYTES);
	snprintf(ret, 100, "%s", name);
	snprintf(ret + 100, 8, "%07o", 0644u);
	snprintf(ret + 124, 12, "%011zo", len);
	ret[156] = type;
	memcpy(ret + 257, "ustar\00000", 8);
	memset(ret + 148, ' ', 8);
	for (int i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += (unsigned char)ret[i];
	snprintf(ret + 148, 8, "%06o", sum);
	memset(ret + TAR_BLOCK_BYTES, 0, (len + 511) / 512 * 512);
	memcpy(ret + TAR_BLOCK_BYTES, data, len);
	return TAR_BLOCK_BYTES + (len + 511) / 512 * 512;
}

static const char failed_log[] = "INFO all is well\nNVML Shared Library Not Found\n";

/* "verdict, files, lines, notes; file:line of the first finding" */
static void read_as(const char *name, const char *data, size_t len, size_t piece, struct buf *ret)
{
	CLEANUP(diagnosis_destroy_p) struct diagnosis *d = NULL;
	struct diagnose_input in;
	struct findings f;
	bool more = true;

	assert_int_equal(diagnosis_create(&d, catalogue, NULL), 0);
	diagnose_input_init(&in, d);
	assert_int_equal(diagnose_input_begin(&in, name, NULL), 0);
	for (size_t at = 0; at < len && more; at += piece)
		more = diagnose_input_feed(&in, data + at, MIN(piece, len - at));
	diagnose_input_end(&in);
	findings_init(&f);
	diagnosis_conclude(d, NULL, NULL, &f);
	buf_init(ret, 1 << 16);
	buf_printf(ret, "%s, %u files, %llu lines, %u other;", diagnosis_verdict_name(diagnosis_verdict(d, NULL, &f)),
		in.files, (unsigned long long)in.lines, in.other);
	for (uint32_t i = 0; i < in.notes_len; i++)
		buf_printf(ret, " note %d of %s;", in.notes[i].kind, in.notes[i].name);
	if (f.len > 0)
		buf_printf(ret, " %s:%u", f.items[0].file, f.items[0].line);
	findings_done(&f);
	diagnose_input_done(&in);
}

static void assert_reads(const char *name, const char *data, size_t len, const char *want)
{
	static const size_t pieces[] = {1, 513, BYTES_MAX};

	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct buf got;

		read_as(name, data, len, pieces[i], &got);
		assert_string_equal(buf_str(&got), want);
		buf_done(&got);
	}
}

static void a_packed_log_in_an_archive_that_is_packed_is_read_and_named(void **state)
{
	char *tar = malloc(BYTES_MAX), *packed = malloc(2 * BYTES_MAX), inner[4096];
	char binary[600], pax[200];
	size_t n = 0;
	(void)state;

	for (int format = UNPACK_GZIP; format <= UNPACK_BZIP2; format++) {
		n = pack(format, failed_log, strlen(failed_log), packed);
		assert_reads("w.log", packed, n, "failed, 1 files, 2 lines, 0 other; w.log:2");
	}
	memset(binary, 1, sizeof binary);
	n = tar_add(tar, "pods/", '5', "", 0);
	n += tar_add(tar + n, "pods/fine.log", '0', "INFO\n", 5);
	n += tar_add(tar + n, "pods/link", '2', "", 0);
	n += tar_add(tar + n, "core.bin", '0', binary, sizeof binary);
	size_t inner_len = pack(UNPACK_XZ, failed_log, strlen(failed_log), inner);
	n += tar_add(tar + n, "././@LongLink", 'L', "pods/a name that is long/x.log.xz", 34);
	n += tar_add(tar + n, "pods/short", '0', inner, inner_len);
	snprintf(pax, sizeof pax, "28 mtime=1700000000.1234567\n19 path=other/q.log\n");
	n += tar_add(tar + n, "PaxHeader", 'x', pax, strlen(pax));
	n += tar_add(tar + n, "q", '0', failed_log, strlen(failed_log));
	memset(tar + n, 0, 1024);
	n += 1024;
	assert_reads(
		"all.tar", tar, n, "failed, 3 files, 5 lines, 1 other; all.tar/pods/a name that is long/x.log.xz:2");
	size_t packed_len = pack(UNPACK_ZSTD, tar, n, packed);
	assert_reads("all.tar.zst", packed, packed_len,
		"failed, 3 files, 5 lines, 1 other; all.tar.zst/pods/a name that is long/x.log.xz:2");
	/* Cut within its last file, which is read as far as it goes; and a header that is none. */
	assert_reads("cut.tar", tar, n - 1024 - 480,
		"failed, 3 files, 5 lines, 1 other; note 1 of cut.tar; cut.tar/pods/a name that is long/x.log.xz:2");
	tar[TAR_BLOCK_BYTES + 10] ^= 1;
	assert_reads("bad.tar", tar, n, "cannot-tell, 0 files, 0 lines, 0 other; note 2 of bad.tar;");
	free(tar);
	free(packed);
}

static void what_is_no_log_is_noted_by_name_and_not_taken_for_a_healthy_one(void **state)
{
	char a[8192], b[8192];
	size_t n = pack(UNPACK_GZIP, failed_log, strlen(failed_log), a);
	(void)state;

	assert_reads("z.zip", "PK\003\004\024\0\0\0", 8, "cannot-tell, 1 files, 0 lines, 0 other; note 0 of z.zip;");
	char zeros[3000] = {0};
	size_t zeros_len = pack(UNPACK_XZ, zeros, sizeof zeros, b);
	assert_reads("zeros.xz", b, zeros_len, "cannot-tell, 1 files, 0 lines, 0 other; note 0 of zeros.xz;");
	assert_reads("a\033[31mb\n.log", "NVML Shared Library Not Found\n", 30,
		"failed, 1 files, 1 lines, 0 other; a?[31mb?.log:1");
	assert_reads("e.log", "", 0, "cannot-tell, 1 files, 0 lines, 0 other;");
	assert_reads("w.gz", a, n / 2, "healthy, 1 files, 2 lines, 0 other; note 1 of w.gz;");
	for (int i = 0; i < INPUT_DEPTH_MAX; i++) {
		n = pack(UNPACK_GZIP, a, n, b);
		memcpy(a, b, n);
	}
	assert_reads("deep.gz", a, n, "cannot-tell, 0 files, 0 lines, 0 other; note 4 of deep.gz;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_packed_comes_out_in_any_pieces_and_streams_may_follow_each_other),
		cmocka_unit_test(a_cut_file_gives_what_it_holds_and_says_that_it_was_cut),
		cmocka_unit_test(a_packed_log_in_an_archive_that_is_packed_is_read_and_named),
		cmocka_unit_test(what_is_no_log_is_noted_by_name_and_not_taken_for_a_healthy_one),
	};
	return cmocka_run_group_tests(tests, catalogue_open, catalogue_close);
}
