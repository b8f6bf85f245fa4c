/* What `mnc verify` links around a network where no launcher of its own fits: does what is asked on standard input, as
   runtime/src/orders.rs writes it. C11 and POSIX threads. With NAME the network is the plain object of that name, whose sizes
   are INPUT_LEN, OUTPUT_LEN and WORKSPACE_BYTES; with BIND too its weights are in the file of the first argument. Without NAME
   the object has the launcher's hook. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*task_fn)(void *arg, size_t index);

struct pool {
  void *ctx;
  void (*run)(void *ctx, task_fn task, void *arg, size_t count);
};

/* runtime/src/abi.rs: ModelAbi, version 4. */
struct model {
  uint64_t abi_version;
  int32_t (*run)(const float *, float *, void *);
  int32_t (*run_parallel)(const float *, float *, void *, const struct pool *);
  const char *info;
  uint64_t info_len, workspace_bytes, input_len, output_len;
  void (*step)(const float *, float *, void *, uint64_t);
  uint64_t n_steps;
  int32_t (*bind)(void *, const unsigned char *, size_t);
  /* What isn't asked for here. */
  const void *(*detecting)(void);
  int32_t (*run_u8)(const uint8_t *, size_t, float *, void *);
  int32_t (*run_u8_parallel)(const uint8_t *, size_t, float *, void *, const struct pool *);
};

#ifdef NAME
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
extern int32_t JOIN(NAME, _run)(const float *, float *, void *);
extern int32_t JOIN(NAME, _run_parallel)(const float *, float *, void *, const struct pool *);
extern const char *JOIN(NAME, _info)(void);
#ifdef BIND
extern int32_t JOIN(NAME, _bind)(void *, const unsigned char *, size_t);
#endif

static void mnc_model(struct model *m) {
  memset(m, 0, sizeof *m);
  m->abi_version = 4;
  m->run = JOIN(NAME, _run);
  m->run_parallel = JOIN(NAME, _run_parallel);
  m->info = JOIN(NAME, _info)();
  m->info_len = strlen(m->info);
  m->workspace_bytes = WORKSPACE_BYTES;
  m->input_len = INPUT_LEN;
  m->output_len = OUTPUT_LEN;
#ifdef BIND
  m->bind = JOIN(NAME, _bind);
#endif
}
#else
extern void mnc_model(struct model *);
#endif

enum manner { SERIAL, STEPS, THREADS, FORWARDS, BACKWARDS, SHUFFLED };

struct view {
  uint64_t point, region, offset, bytes;
};

static struct model model;
static float *input, *output;
static unsigned char *workspace, *weights;
static size_t weights_bytes;

static struct view *views;
static uint64_t n_views, manner, number, point;
static unsigned char *seen;
static uint64_t n_seen;

static void stop(const char *why) {
  fprintf(stderr, "%s\n", why);
  exit(1);
}

static void *get(size_t bytes) {
  size_t whole = (bytes + 63) / 64 * 64;
  void *memory = aligned_alloc(64, whole == 0 ? 64 : whole);
  if (memory == NULL) {
    stop("no memory");
  }
  return memory;
}

/* 0 at the end of the input, if that may come here. */
static int take(void *to, size_t bytes, int may_end) {
  size_t n_read = fread(to, 1, bytes, stdin);
  if (n_read != bytes && !(may_end && n_read == 0)) {
    stop("an order without an end");
  }
  return n_read == bytes;
}

/* Both sides are little-endian. */
static uint64_t word(void) {
  uint64_t value;
  take(&value, sizeof value, 0);
  return value;
}

static void put(const void *from, size_t bytes) {
  if (fwrite(from, 1, bytes, stdout) != bytes) {
    exit(1);
  }
}

static void put_word(uint64_t value) { put(&value, sizeof value); }

static void refuse(const char *why) {
  put_word(1);
  put_word(strlen(why));
  put(why, strlen(why));
}

static void look(void) {
  for (uint64_t i = 0; i < n_views; i++) {
    if (views[i].point == point) {
      const unsigned char *from = views[i].region == 0 ? workspace : (const unsigned char *)output;
      memcpy(seen + n_seen, from + views[i].offset, views[i].bytes);
      n_seen += views[i].bytes;
    }
  }
  point++;
}

struct crew {
  task_fn task;
  void *arg;
  size_t count;
  atomic_size_t next;
};

static void *work(void *shared) {
  struct crew *crew = shared;
  for (size_t index = atomic_fetch_add(&crew->next, 1); index < crew->count;
       index = atomic_fetch_add(&crew->next, 1)) {
    crew->task(crew->arg, index);
  }
  return NULL;
}

static void on_threads(task_fn task, void *arg, size_t count) {
  struct crew crew = {task, arg, count, 0};
  size_t n_others = number - 1 < count ? (size_t)number - 1 : count;
  pthread_t threads[64];
  if (64 < n_others) {
    n_others = 64;
  }
  for (size_t i = 0; i < n_others; i++) {
    if (pthread_create(&threads[i], NULL, work, &crew) != 0) {
      stop("no thread");
    }
  }
  work(&crew);
  for (size_t i = 0; i < n_others; i++) {
    pthread_join(threads[i], NULL);
  }
}

static void run_pieces(void *ctx, task_fn task, void *arg, size_t count) {
  size_t *pieces = get(count * sizeof *pieces);
  (void)ctx;
  for (size_t i = 0; i < count; i++) {
    pieces[i] = manner == BACKWARDS ? count - 1 - i : i;
  }
  if (manner == SHUFFLED) {
    uint64_t state = number ^ (point * UINT64_C(0xd1342543de82ef95));
    for (size_t i = count - 1; 0 < i; i--) {
      state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
      size_t other = (size_t)((state >> 33) % (i + 1)), piece = pieces[i];
      pieces[i] = pieces[other];
      pieces[other] = piece;
    }
  }
  if (manner == THREADS) {
    on_threads(task, arg, count);
  } else {
    for (size_t i = 0; i < count; i++) {
      task(arg, pieces[i]);
    }
  }
  free(pieces);
  look();
}

/* NaN everywhere but at the end of the workspace, where the network remembers things. */
static void spoil(void) {
  memset(workspace, 0xff, model.workspace_bytes - 64);
  memset(output, 0xff, model.output_len * sizeof *output);
}

static int32_t run(void) {
  struct pool pool = {NULL, run_pieces};
  int32_t status;
  spoil();
  if (manner != SERIAL && manner != STEPS) {
    return model.run_parallel(input, output, workspace, &pool);
  }
  status = model.run(input, output, workspace);
  if (status == 0 && manner == STEPS) {
    spoil();
    for (uint64_t i = 0; i < model.n_steps; i++) {
      model.step(input, output, workspace, i);
      look();
    }
    point = 0;
  }
  return status;
}

static void order_to_run(void) {
  uint64_t total = 0;
  int is_inside = 1;
  int32_t status;
  manner = word();
  number = word();
  n_views = word();
  if (1 << 16 < n_views) {
    stop("too much to look at");
  }
  views = get(n_views * sizeof *views);
  take(views, n_views * sizeof *views, 0);
  for (uint64_t i = 0; i < n_views; i++) {
    uint64_t len = views[i].region == 0 ? model.workspace_bytes : model.output_len * sizeof *output;
    is_inside = is_inside && views[i].bytes <= len && views[i].offset <= len - views[i].bytes;
    total += is_inside ? views[i].bytes : 0;
  }
  take(input, model.input_len * sizeof *input, 0);
  if (!is_inside || (manner == STEPS && model.step == NULL)) {
    refuse(is_inside ? "a plain object has no steps" : "a look outside of the network's memory");
    free(views);
    return;
  }
  seen = get(total);
  n_seen = 0;
  point = 0;
  status = run();
  put_word(0);
  put_word(24 + n_seen + model.output_len * sizeof *output);
  put_word((uint64_t)(int64_t)status);
  put_word(point);
  put_word(n_seen);
  put(seen, n_seen);
  put(output, model.output_len * sizeof *output);
  free(seen);
  free(views);
}

static void bind(const char *path) {
  FILE *file = fopen(path, "rb");
  long len;
  if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (len = ftell(file)) < 0) {
    stop("the weights file can't be read");
  }
  rewind(file);
  weights_bytes = (size_t)len;
  weights = get(weights_bytes);
  if (fread(weights, 1, weights_bytes, file) != weights_bytes) {
    stop("the weights file can't be read");
  }
  fclose(file);
  if (model.bind(workspace, weights, weights_bytes) != 0) {
    stop("the weights file isn't that of the network");
  }
}

int main(int argc, char **argv) {
  uint64_t kind;
  mnc_model(&model);
  if (model.abi_version != 4) {
    stop("another version of the ABI");
  }
  input = get(model.input_len * sizeof *input);
  output = get(model.output_len * sizeof *output);
  workspace = get(model.workspace_bytes);
  memset(workspace, 0, model.workspace_bytes);
  if (1 < argc && model.bind != NULL) {
    bind(argv[1]);
  }
  while (take(&kind, sizeof kind, 1)) {
    if (kind == 0) {
      put_word(0);
      put_word(model.info_len);
      put(model.info, model.info_len);
    } else if (kind == 2) {
      order_to_run();
    } else {
      stop("an order that this program doesn't know");
    }
    fflush(stdout);
  }
  return 0;
}
