/* The built-in signatures by kinds: other numbers, names and forms than their examples, and what must not be told beside them.
 * How a log is read is in test_diagnose.c. */
#include "plan/diagnose.h"

#include <stdio.h>
#include <string.h>

#include "../lib/cmocka_all.h"
#include "../lib/diagnose_catalogue.h"

struct look {
	const char *want; /* the only fatal finding, and the first; "none": there is no fatal one */
	const char *text;
	const char *says; /* in its cause, evidence left aside, or its remedy; NULL: anything */
};

static bool is_right(const struct look *look)
{
	struct diagnosis *d;
	struct findings f;

	assert_int_equal(diagnosis_create(&d, catalogue, NULL), 0);
	struct diagnosed_log *log = diagnosis_log(d, "x.log");
	diagnosed_log_feed(log, look->text, strlen(look->text));
	diagnosed_log_end(log);
	findings_init(&f);
	diagnosis_conclude(d, NULL, NULL, &f);
	const char *got = findings_have_cause(&f) ? f.items[0].code : "none";
	bool right = strcmp(got, look->want) == 0 && f.fatals == (strcmp(look->want, "none") != 0);
	if (right && look->says)
		right = strstr(f.items[0].what, look->says) ||
			(f.items[0].remedy && strstr(f.items[0].remedy, look->says));
	if (!right)
		fprintf(stderr, "wanted %s (%s), got %s (%s) and %u fatal findings of:\n%s\n", look->want,
			look->says ? look->says : "", got, f.len > 0 ? f.items[0].what : "", f.fatals, look->text);
	findings_done(&f);
	diagnosis_destroy(d);
	return right;
}

static void all_right(const struct look *looks, size_t count)
{
	uint32_t failed = 0;

	for (size_t i = 0; i < count; i++)
		failed += !is_right(&looks[i]);
	assert_int_equal(failed, 0);
}

#define OOM "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 40.00 MiB. GPU 3 has a total capacity of "
#define OF_TORCH " is allocated by PyTorch, and 8.00 MiB is reserved by PyTorch but unallocated."

static void what_a_line_says_of_the_processes_on_a_gpu_decides_who_holds_it(void **state)
{
	static const struct look looks[] = {
		{"gpu-held",
			OOM
			"22.19 GiB of which 7.06 MiB is free. Process 88 has 12.50 GiB memory in use. Including "
			"non-PyTorch "
			"memory, this process has 9.60 GiB memory in use. Of the allocated memory 9.10 GiB" OF_TORCH,
			"process 88 has 12.50 GiB"},
		{"gpu-held",
			OOM
			"22.19 GiB of which 7.06 MiB is free. Including non-PyTorch memory, this process has 9.60 GiB "
			"memory in use. Process 88 has 12.50 GiB memory in use. Of the allocated memory 9.10 "
			"GiB" OF_TORCH,
			"12.50 GiB"},
		{"gpu-held",
			OOM "139.72 GiB of which 9.00 MiB is free. Process 7 has 139.65 GiB memory in use. Of the "
			    "allocated "
			    "memory 0 bytes" OF_TORCH,
			"process 7"},
		{"gpu-held",
			OOM "139.72 GiB of which 9.00 MiB is free. Process 7 has 138.65 GiB memory in use. Of the "
			    "allocated "
			    "memory 512.50 MiB" OF_TORCH,
			NULL},
		{"gpu-held",
			OOM "79.25 GiB of which 9.00 MiB is free. Process 7 has 70.01 GiB memory in use. Process 9 has "
			    "9.20 GiB "
			    "memory in use. Of the allocated memory 8.60 GiB" OF_TORCH,
			NULL},
		{"gpu-held",
			"Model loading took 9.1 GiB and 4 seconds\n" OOM
			"79.25 GiB of which 9.00 MiB is free. Process 7 has 40.01 GiB memory in use. Including "
			"non-PyTorch "
			"memory, this process has 39.20 GiB memory in use. Of the allocated memory 38.60 GiB" OF_TORCH,
			NULL},
		{"gpu-held",
			"ERROR Failed to load model - not enough GPU memory. Try lowering --gpu-memory-utilization. "
			"(original "
			"error: CUDA out of memory. Tried to allocate 2.00 MiB. GPU 0 has a total capacity of 44.40 "
			"GiB of which "
			"1.06 MiB is free. Process 5 has 30.00 GiB memory in use. Including non-PyTorch memory, this "
			"process has "
			"14.20 GiB memory in use.)",
			"process 5"},
		/* A container hides our own number: the process that is named is this one. */
		{"cuda-oom-loading",
			OOM "22.19 GiB of which 7.06 MiB is free. Process 4711 has 22.10 GiB memory in use. Of the "
			    "allocated "
			    "memory 21.70 GiB" OF_TORCH,
			"22.19 GiB"},
		/* A desktop's few MiB are no cause. */
		{"cuda-oom-loading",
			OOM "23.60 GiB of which 7.06 MiB is free. Process 2001 has 310.00 MiB memory in use. Including "
			    "non-PyTorch memory, this process has 23.20 GiB memory in use. Of the allocated memory "
			    "22.8 GiB" OF_TORCH,
			NULL},
		{"gpu-held",
			"torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 39.39 "
			"GiB total "
			"capacity; 0 bytes already allocated; 7.31 MiB free; 0 bytes reserved in total by PyTorch)",
			NULL},
		{"cuda-oom-loading",
			"torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 39.39 "
			"GiB total "
			"capacity; 38.10 GiB already allocated; 7.31 MiB free; 38.40 GiB reserved in total by PyTorch)",
			NULL},
	};
	(void)state;

	all_right(looks, sizeof looks / sizeof *looks);
}

static void each_xid_is_told_by_what_is_to_be_done(void **state)
{
	static const struct look looks[] = {
		{"gpu-program-fault", "[1.0] NVRM: Xid (PCI:0000:db:00): 31, pid=8, MMU Fault", "MMU Fault"},
		{"gpu-program-fault", "[1.0] NVRM: Xid (0000:03:00): 13, 0001 00000000 0000a097", NULL},
		{"gpu-program-fault", "[1.0] NVRM: Xid (PCI:0000:db:00): 43, pid=8, Ch 00000008", NULL},
		{"gpu-hung", "[1.0] NVRM: Xid (PCI:0000:db:00): 62, 0a7b(20d8) 00000000", NULL},
		{"gpu-ecc", "[1.0] NVRM: Xid (PCI:0000:db:00): 95, Uncontained", NULL},
		{"gpu-hung", "[1.0] NVRM: Xid (PCI:0000:db:00): 120, GSP task exception", "GSP"},
		{"gpu-nvlink",
			"[1.0] NVRM: Xid (PCI:0000:db:00): 145, RLW_SRC_TRACK Nonfatal\n"
			"[1.1] NVRM: Xid (PCI:0000:db:00): 45, pid=8, caused by previous Xid 145\n",
			NULL},
		{"gpu-nvlink",
			"nvidia-nvswitch0: SXid (PCI:0000:c5:00.0): 19084, Fatal, Link 30 AN1 Heartbeat Timeout Error",
			NULL},
		{"xid-other", "[1.0] NVRM: Xid (PCI:0000:db:00): 480, something new", "Xid 480"},
		{"xid-other", "[1.0] NVRM: Xid (PCI:0000:db:00): 790, something new", "Xid 790"},
		{"gpu-program-fault",
			"2025/08/10 19:09:42 XidCriticalError: Xid=68 on Device=GPU-7f, the device will go unhealthy.",
			"GPU-7f touched"},
		{"gpu-power", "[1.0] NVRM: Xid (PCI:0000:db:00): 54, pid=0, Auxiliary power", "power cables"},
		{"gpu-driver", "[1.0] NVRM: Xid (PCI:0000:db:00): 78, vGPU start", "versions do not fit"},
		{"none", "[1.0] NVRM: Xid (PCI:0000:db:00): 92, High single-bit ECC", NULL},
		{"xid-follows", "[1.0] NVRM: Xid (PCI:0000:db:00): 45, pid=8, Ch 00000008", NULL},
		{"gpu-hung",
			"[1.0] NVRM: Xid (PCI:0000:db:00): 109, CTX SWITCH TIMEOUT\n[1.2] NVRM: Xid (PCI:0000:db:00): "
			"13, x\n",
			NULL},
		{"gpu-lost",
			"[1.0] NVRM: The NVIDIA GPU 0000:b3:00.0\n NVRM: fallen off the bus and is not responding\n",
			NULL},
	};
	(void)state;

	all_right(looks, sizeof looks / sizeof *looks);
}

/* By what the numbers mean in NVIDIA's catalog, one after the other: each is told once, by the entry of its kind. */
static void every_number_of_the_catalog_has_its_kind(void **state)
{
	static const char *const wants[] = {[XID_UNKNOWN] = "xid-other",
		[XID_PROGRAM] = "gpu-program-fault",
		[XID_DRIVER] = "gpu-driver",
		[XID_MEMORY] = "gpu-ecc",
		[XID_LINK] = "gpu-nvlink",
		[XID_LOST] = "gpu-lost",
		[XID_HUNG] = "gpu-hung",
		[XID_POWER] = "gpu-power",
		[XID_NOTE] = "none",
		[XID_FOLLOWS] = "xid-follows"};
	/* A few of each kind by hand, so that the table itself is looked at. */
	static const struct {
		uint32_t number;
		enum xid_kind kind;
	} known[] = {{13, XID_PROGRAM}, {31, XID_PROGRAM}, {43, XID_PROGRAM}, {38, XID_DRIVER}, {78, XID_DRIVER},
		{48, XID_MEMORY}, {64, XID_MEMORY}, {95, XID_MEMORY}, {74, XID_LINK}, {149, XID_LINK}, {79, XID_LOST},
		{62, XID_HUNG}, {109, XID_HUNG}, {119, XID_HUNG}, {158, XID_HUNG}, {54, XID_POWER}, {63, XID_NOTE},
		{92, XID_NOTE}, {45, XID_FOLLOWS}, {154, XID_FOLLOWS}, {5, XID_UNKNOWN}, {173, XID_UNKNOWN}};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		assert_int_equal(xid_kind(known[i].number), known[i].kind);
	for (uint32_t n = 1; n <= XID_MAX + 1; n++) {
		char line[120];
		const struct look look = {wants[xid_kind(n)], line, xid_kind(n) == XID_NOTE ? NULL : xid_meaning(n)};

		snprintf(line, sizeof line, "[ 12.5] NVRM: Xid (PCI:0000:%02x:00): %u, pid=7, name=python3", n, n);
		if (xid_kind(n) == XID_FOLLOWS)
			continue; /* a consequence with nothing before it */
		assert_true(is_right(&look));
		assert_int_equal(xid_meaning(n) != NULL, xid_kind(n) != XID_UNKNOWN);
	}
}

static void what_nccl_and_ucx_print_is_the_cause_and_told_once(void **state)
{
	static const struct look looks[] = {
		{"nccl-call-failed",
			"a:1:2 [0] NCCL WARN Call to ibv_modify_qp failed with error Invalid argument\n"
			"RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)\n",
			"ibv_modify_qp"},
		{"nccl-memlock",
			"a:1:2 [0] NCCL WARN Call to ibv_create_cq failed with error Cannot allocate memory\n"
			"ncclSystemError: System call (e.g. socket, malloc) or external library call failed\n",
			"create_cq"},
		{"nccl-peer-access",
			"a:1:2 [0] NCCL WARN Cuda failure 'peer access is not supported between these two devices'\n",
			NULL},
		{"nccl-last-error",
			"DistBackendError: NCCL error in: x.cpp:1, unhandled cuda error (run with NCCL_DEBUG=INFO for "
			"details)\n"
			"Last error:\nCuda failure 101 'invalid device ordinal'\n",
			"invalid device ordinal"},
		{"nccl-connect",
			"DistBackendError: NCCL error in: x.cpp:1, unhandled system error (run with NCCL_DEBUG=INFO "
			"for details)\n"
			"Last error:\nsocketStartConnect: Connect to 10.0.0.8<40011> failed : No route to host\n",
			"No route to host"},
		{"nccl-connect",
			"a:1:2 [0] misc/socket.cc:1 NCCL WARN Call to connect returned Connection timed out, "
			"retrying\n",
			"timed out"},
		{"nvswitch-not-ready", "a:1:2 [0] NCCL WARN Cuda failure 802 'system not yet initialized'\n",
			"fabricmanager"},
		{"shm-full",
			"a:1:2 [0] NCCL WARN Call to posix_fallocate failed : No space left on device\n"
			"a:1:2 [0] NCCL WARN Error: failed to extend /dev/shm/nccl-aa to 33030532 bytes, error: No "
			"space left on "
			"device (28)\n",
			"shm-size"},
		{"nccl-unhandled",
			"RuntimeError: NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO for details)\n",
			"run it again"},
		{"ucx-connect",
			"[1.2] [w:1 :0] sock.c:334 UCX  ERROR connect(fd=7, dest_addr=10.9.9.9:40001) failed: No route "
			"to host\n"
			"NIXL_ERR_REMOTE_DISCONNECT\n",
			"No route to host"},
		{"ucx-error",
			"[1.2] [w:1 :0] ib_mlx5.c:171 UCX  ERROR Transport retry count exceeded on mlx5_0:1/RoCE\n"
			"nixl._bindings.nixlBackendError: NIXL_ERR_BACKEND\n",
			"retry count"},
		{"nixl-failed", "nixl._bindings.nixlBackendError: NIXL_ERR_BACKEND\n", "BACKEND"},
	};
	(void)state;

	all_right(looks, sizeof looks / sizeof *looks);
}

static void one_cause_is_not_told_as_two(void **state)
{
	static const struct look looks[] = {
		{"llama-alloc-device",
			"ggml_backend_cuda_buffer_type_alloc_buffer: allocating 900.00 MiB on device 1: cudaMalloc "
			"failed: out of "
			"memory\nllama_init_from_model: failed to initialize the context: failed to allocate buffer "
			"for kv cache\n",
			"900.00 MiB"},
		{"llama-alloc-device",
			"ggml_vulkan: Device memory allocation of size 1073741824 failed.\nfailed to allocate compute "
			"buffers\n",
			"--n-gpu-layers"},
		{"model-gated",
			"requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: "
			"https://huggingface.co/a/b\n"
			"Cannot access gated repo for url https://huggingface.co/a/b/resolve/main/config.json.\n",
			NULL},
		{"device-uuid",
			"ValueError: invalid literal for int() with base 10: 'GPU-0f0f0f0f-1111'\n"
			"  Value error, Model architectures ['GptOssForCausalLM'] failed to be inspected.\n",
			"UUID"},
		{"python-submodule", "ModuleNotFoundError: No module named 'transformers.models.qwen9'\n",
			"transformers"},
		{"python-module", "ModuleNotFoundError: No module named 'msgspec'\n", "msgspec"},
		{"rendezvous-port",
			"torch.distributed.DistNetworkError: The server socket has failed to listen on any local "
			"network address. "
			"port: 40123, useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use\n",
			"40123"},
		{"threads-refused",
			"libgomp: x\npthread_create failed for thread 1 of 4: Operation not permitted\n"
			"RuntimeError: can't start new thread\n",
			NULL},
		{"vllm-free-memory",
			"ValueError: Free memory on device cuda:0 (20.1/23.6 GiB) on startup is less than desired GPU "
			"memory "
			"utilization (0.9, 21.24 GiB).\n",
			"another process"},
		{"vllm-free-memory-unified",
			"ValueError: Free memory on device cuda:0 (70.01/122.80 GiB) on startup is less than desired "
			"GPU memory "
			"utilization (0.9, 110.52 GiB).\n",
			"drop_caches"},
	};
	(void)state;

	all_right(looks, sizeof looks / sizeof *looks);
}

static void other_numbers_and_names_of_a_kind_are_known(void **state)
{
	static const struct look looks[] = {
		{"vllm-tp-heads", "AssertionError: 151937 is not divisible by 4\n", "151937 by 4"},
		{"quantized-shape",
			"ValueError: Weight input_size_per_partition = 14784 is not divisible by min_thread_k = 128. Consider "
			"reducing tensor_parallel_size or running with --quantization gptq.\n",
			NULL},
		{"fp8-block-shape",
			"ValueError: The input_size of down's weight = 96 is not divisible by weight quantization block_k = 64.\n",
			"enable-expert-parallel"},
		{"llama-parts-unknown",
			"gguf_init_from_file_impl: tensor 'output.weight' has invalid ggml type 43. should be in [0, 43)\n"
			"gguf_init_from_file_impl: failed to read tensor info\n",
			"output.weight"},
		{"llama-parts-unknown",
			"llama_model_load: error loading model: error loading model hyperparameters: key not found in model: "
			"frob.attention.key_length\nllama_model_load_from_file_impl: failed to load model\n",
			"frob.attention.key_length"},
		{"llama-kv-flash", "llama_context: quantized V cache requires flash_attn to be enabled\n", "kv-type"},
		{"host-allocation", "terminate called after throwing an instance of 'std::bad_alloc'\n", NULL},
		{"host-allocation", "memory allocation of 4294967296 bytes failed\n", "4294967296"},
		{"host-allocation",
			"numpy._core._exceptions._ArrayMemoryError: MemoryError: Unable to allocate 31.2 GiB for an array\n",
			"31.2 GiB"},
		{"library-missing",
			"ImportError: libnvrtc.so.12: cannot open shared object file: No such file or directory\n",
			"libnvrtc.so.12"},
		{"cudart-missing",
			"ImportError: libcudart.so.12: cannot open shared object file: No such file or directory\n",
			NULL},
		{"libcuda-missing",
			"ImportError: libcuda.so.1: cannot open shared object file: No such file or directory\n", NULL},
		{"libc-too-old",
			"./llama-server: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by "
			"./llama-server)\n",
			"./llama-server"},
		{"python-name", "ImportError: cannot import name 'A' from 'torch.b' (/v/torch/b.py)\n", "torch.b"},
		{"certificate",
			"requests.exceptions.SSLError: HTTPSConnectionPool(host='h', port=443): Max retries exceeded with url: /a "
			"(Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
			"failed')))\n",
			NULL},
		{"hub-unreachable",
			"requests.exceptions.ConnectionError: HTTPSConnectionPool(host='h', port=443): Max retries exceeded with "
			"url: /a (Caused by NameResolutionError())\n",
			NULL},
		{"kubernetes-no-gpu",
			"0/9 nodes are available: 3 Insufficient memory, 6 Insufficient nvidia.com/mig-1g.10gb.\n",
			NULL},
		{"kubernetes-no-room", "0/9 nodes are available: 3 Insufficient cpu, 6 Insufficient memory.\n", NULL},
		{"kubernetes-no-room",
			"0/9 nodes are available: 3 node(s) had untolerated taint {a: }, 6 Insufficient memory.\n",
			NULL},
		{"nixl-localhost",
			"NIXL transfer failure: handshake_setup_failed | Context: {'remote_host': 'localhost', 'x': 1}\n",
			"SIDE_CHANNEL_HOST"},
		{"kubernetes-placement", "0/2 nodes are available: 2 node(s) had untolerated taint {gpu: true}.\n",
			NULL},
		{"docker-cuda-too-new",
			"stderr: nvidia-container-cli: requirement error: unsatisfied condition: cuda >= 13.0\n",
			"cuda >= 13.0"},
		{"driver-init", "[ 1.0] NVRM: GPU 0000:17:00.0: RmInitAdapter failed! (0x26:0x56:1474)\n",
			"0x26:0x56:1474"},
		{"custom-allreduce-failed", "Failed: Cuda error custom_all_reduce.cuh:508 'invalid argument'\n", NULL},
		{"cuda-illegal-access",
			"Failed: Cuda error /w/custom_all_reduce.cuh:453 'an illegal memory access was encountered'\n",
			NULL},
		{"nixl-engine-id",
			"NIXL transfer failure: handshake_setup_failed | Context: {'remote_host': 'localhost', 'x': 1}\n"
			"RuntimeError: Remote NIXL agent engine ID mismatch. Expected 9_dp3,received 8_dp3.\n"
			"Handshake failed for request cmpl-9\n",
			"9_dp3"},
		{"kv-transfer-failed",
			"NIXL transfer failure: transfer_exception | Context: {'remote_host': '10.0.0.2'}\n", NULL},
		{"rendezvous-incomplete",
			"torch.distributed.DistStoreError: Timed out after 5 seconds waiting for workers. 7/16 workers joined.\n",
			"7/16"},
		{"rendezvous-unreachable",
			"[E] [c10d] The client socket has timed out after 900000ms while trying to connect to (fd00::1, 29500).\n",
			"fd00::1"},
		{"prefill-tp-larger", "AssertionError: Decode TP cannot be smaller than prefill TP, got 4 and 16\n",
			"16 against 4"},
		{"vllm-no-cache-blocks-low",
			"Run vllm with arguments: serve /m --gpu-memory-utilization 0.6 --port 1\n"
			"ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`\n",
			"raise gpu-memory-utilization"},
		{"vllm-no-cache-blocks",
			"Run vllm with arguments: serve /m --gpu-memory-utilization 0.95 --port 1\n"
			"ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`\n",
			"use more GPUs"},
		{"weights-shape",
			"RuntimeError: size mismatch for lm_head.weight: copying a param with shape torch.Size([9, 8]) "
			"from checkpoint, the shape in current model is torch.Size([9, 4]).\n",
			"[9, 8]"},
		{"weights-unknown", "KeyError: 'layers.3.mlp.down_proj.weight_scale'\n", "3.mlp.down_proj"},
		{"header-missing",
			"a.cuh:1:10: fatal error: cublasLt.h: No such file or directory\n"
			"RuntimeError: Ninja build failed. Ninja output:\n",
			"cublasLt.h"},
		{"compiler-missing", "main.c:1:10: fatal error: Python.h: No such file or directory\n", NULL},
		{"hub-unreachable",
			"HTTPSConnectionPool(host='h', port=443): Max retries exceeded with url: /a (Caused by "
			"NameResolutionError(\"Failed to resolve 'h' ([Errno -3] Temporary failure in name resolution)\"))\n",
			NULL},
		{"name-resolution", "Error: dns error: failed to lookup address information: Name does not resolve\n",
			NULL},
		{"kubernetes-quota",
			"pods \"a\" is forbidden: exceeded quota: q, requested: cpu=1, used: cpu=9, limited: cpu=9\n",
			"q: cpu=1"},
		{"host-address", "OSError: [Errno 99] Cannot assign requested address\n", "0.0.0.0"},
		{"cuda-oom-driver", "RuntimeError: CUDA error: out of memory\n", NULL},
		{"exit-137", "ollama: llama runner process has terminated: signal: killed\n", NULL},
		{"exit-137", "vllm.service: Main process exited, code=killed, status=9/KILL\n", NULL},
	};
	(void)state;

	all_right(looks, sizeof looks / sizeof *looks);
}

static void lines_that_only_look_bad_are_no_failure(void **state)
{
	static const struct look looks[] = {
		{"none", "ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected", NULL},
		{"none", "nvidia-nvswitch0: SXid (PCI:0000:c5:00.0): 12028, Non-fatal, Link 30 egress", NULL},
		{"none",
			"ERROR 01-02 [c.py:1] Failed to import Triton kernels. Please make sure your triton version is "
			"compatible.",
			NULL},
		{"none", "E0000 1 cuda_blas.cc:1] Unable to register cuBLAS factory: Attempting to register", NULL},
		{"none",
			"[W] [c10d] The server socket cannot be initialized on [::]:1 (errno: 97 - Address family not "
			"supported "
			"by protocol).",
			NULL},
		{"none",
			"n:1:1 [0] NCCL INFO NET/Plugin: Could not find: libnccl-net.so. Using internal network "
			"plugin.",
			NULL},
		{"none",
			"warning: failed to mlock 12345-byte buffer (after previously locking 0 bytes): Cannot "
			"allocate memory",
			NULL},
		{"none", "ggml_cuda_host_malloc: failed to allocate 1024.00 MiB of pinned memory: out of memory", NULL},
	};
	(void)state;

	all_right(looks, sizeof looks / sizeof *looks);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_line_says_of_the_processes_on_a_gpu_decides_who_holds_it),
		cmocka_unit_test(each_xid_is_told_by_what_is_to_be_done),
		cmocka_unit_test(every_number_of_the_catalog_has_its_kind),
		cmocka_unit_test(what_nccl_and_ucx_print_is_the_cause_and_told_once),
		cmocka_unit_test(one_cause_is_not_told_as_two),
		cmocka_unit_test(other_numbers_and_names_of_a_kind_are_known),
		cmocka_unit_test(lines_that_only_look_bad_are_no_failure),
	};

	return cmocka_run_group_tests(tests, catalogue_open, catalogue_close);
}
