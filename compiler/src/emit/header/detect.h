/* Classes of a box, the background included, and boxes that a call looks at. */
#define @UPPER@_CLASSES @N_CLASSES@
#define @UPPER@_PRIORS @N_PRIORS@
#define @UPPER@_CANDIDATES @CANDIDATES@

/* A box in an image's output. Its edges are parts of the network's input, whose upper left corner is 0, 0 and whose lower
   right one 1, 1; they may lie beyond. Times the width and the height of the picture they are its pixels, if all of the
   picture was resized to the input, whatever its aspect. */
struct @NAME@_box {
  size_t label; /* the class, from 0 */
  size_t prior; /* the prior that found it */
  double score; /* its probability */
  double left, top, right, bottom;
};

/* Two numbers, whose product is rounded before anything is added to it. */
static inline double @NAME@_times(double a, double b) {
  volatile double product = a * b;
  return product;
}

/* e to the power of x: FreeBSD's algorithm, with the same bits everywhere. */
static inline double @NAME@_exp(double x) {
  static const double series[5] = {1.6666666666666602e-1, -2.7777777777015593e-3, 6.613756321437934e-5,
                                   -1.6533902205465252e-6, 4.1381367970572385e-8};
  union {
    uint64_t bits;
    double value;
  } power_of_2;
  double size = x < 0.0 ? -x : x, high = x, low = 0.0, square, sum = 0.0, rest, y;
  int power = 0, idx;
  if (x != x) return x;
  power_of_2.bits = (uint64_t)0x7ff << 52;
  if (709.0 < x) return power_of_2.value;
  if (x < -708.0) return 0.0;
  if (size < 3.725290298461914e-9) return 1.0 + x;
  if (0.3465735912322998 <= size) {
    if (1.0397205352783203 <= size)
      power = (int)(@NAME@_times(1.4426950408889634, x) + (x < 0.0 ? -0.5 : 0.5));
    else
      power = x < 0.0 ? -1 : 1;
    high = x - @NAME@_times(power, 6.931471803691238e-1);
    low = @NAME@_times(power, 1.9082149292705877e-10);
  }
  x = high - low;
  square = @NAME@_times(x, x);
  for (idx = 4; 0 <= idx; idx--) sum = series[idx] + @NAME@_times(square, sum);
  rest = x - @NAME@_times(square, sum);
  y = 1.0 + (@NAME@_times(x, rest) / (2.0 - rest) - low + high);
  power_of_2.bits = (uint64_t)(1023 + power) << 52;
  return y * power_of_2.value;
}

/* Whether a box comes before another: by its score, then by its prior, then by its class. */
static inline int @NAME@_is_before(const struct @NAME@_box *a, const struct @NAME@_box *b) {
  if (a->score != b->score) return b->score < a->score;
  return a->prior != b->prior ? a->prior < b->prior : a->label < b->label;
}

/* Moves the first of a heap down, whose first is the worst. */
static inline void @NAME@_sink(struct @NAME@_box *boxes, size_t n) {
  size_t at = 0, last = 0, below;
  for (;;) {
    for (below = 2 * at + 1; below < n && below <= 2 * at + 2; below++)
      if (@NAME@_is_before(&boxes[last], &boxes[below])) last = below;
    if (last == at) return;
    {
      struct @NAME@_box moved = boxes[at];
      boxes[at] = boxes[last];
      boxes[last] = moved;
    }
    at = last;
  }
}

/* Keeps a box if it is among the best. */
static inline size_t @NAME@_offer(struct @NAME@_box *boxes, size_t n, struct @NAME@_box box) {
  size_t at = n;
  if (n == @UPPER@_CANDIDATES) {
    if (!@NAME@_is_before(&box, &boxes[0])) return n;
    boxes[0] = box;
    @NAME@_sink(boxes, n);
    return n;
  }
  while (at != 0 && @NAME@_is_before(&boxes[(at - 1) / 2], &box)) {
    boxes[at] = boxes[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  boxes[at] = box;
  return n + 1;
}

static inline double @NAME@_area(const struct @NAME@_box *box) {
  return @NAME@_times(box->right - box->left, box->bottom - box->top);
}

/* Whether two boxes share more than @OVERLAP@ of what they cover. */
static inline int @NAME@_overlap(const struct @NAME@_box *a, const struct @NAME@_box *b) {
  double width = (a->right < b->right ? a->right : b->right) - (b->left < a->left ? a->left : b->left);
  double height = (a->bottom < b->bottom ? a->bottom : b->bottom) - (b->top < a->top ? a->top : b->top);
  double shared;
  if (width <= 0.0 || height <= 0.0) return 0;
  shared = @NAME@_times(width, height);
  return @NAME@_times(@OVERLAP@, @NAME@_area(a) + @NAME@_area(b) - shared) < shared;
}

/* One axis of a box: centre and half of the size, about a prior. Whether it is one. */
static inline int @NAME@_axis(double along, double size, double prior, double centre, double *from, double *to) {
  double middle = @NAME@_times(@NAME@_times(along, @CENTER@), prior) + centre;
  double half = @NAME@_times(@NAME@_times(@NAME@_exp(@NAME@_times(size, @SIZE@)), prior), 0.5);
  double extent;
  *from = middle - half;
  *to = middle + half;
  extent = *to - *from;
  /* Infinity less itself is no number. */
  return 0.0 < extent && extent - extent == 0.0;
}

/* The boxes in the output of an image, the best first: makes probabilities of the scores, boxes of the best, and leaves out
   what overlaps with a better one of its class. Not for a compiler that was told to be fast rather than right (-ffast-math).

   output  of an image, as @NAME@_run writes it.
   boxes   memory for @UPPER@_CANDIDATES boxes, of which the first are the result.

   Returns how many there are, at most @MOST_BOXES@. Takes no other memory, and always the same time to within what it finds:
   a look at each score, then at most @CANDIDATES@ x @MOST_BOXES@ comparisons. The result has the same bits on every machine. */
static inline size_t @NAME@_detect(const float *output, struct @NAME@_box *boxes) {
  struct map {
    size_t rows, columns;
    double down, across;
    size_t scores, locations, first, n;
  };
  static const struct map maps[@N_MAPS@] = {
@MAPS@
  };
  /* Width and height of the priors of a cell, map by map. */
  static const double sizes[][2] = {@SIZES@};
  const size_t n_classes = @N_CLASSES@;
  const long background = @BACKGROUND@;
  const int rule = @RULE@; /* softmax, sigmoid, none */
  size_t n = 0, n_placed = 0, n_kept = 0, prior = 0, end, idx, other, label;
  const struct map *map;

  for (map = maps; map != maps + @N_MAPS@; map++) {
    const float *scores = output + map->scores;
    for (end = prior + map->rows * map->columns * map->n; prior != end; prior++, scores += n_classes) {
      double most = 0.0, sum = 0.0;
      if (rule == 0) {
        int is_likely = 0, is_known = 0;
        for (label = 0; label < n_classes; label++)
          if (scores[label] == scores[label] && (!is_known || most < scores[label])) {
            most = scores[label];
            is_known = 1;
          }
        if (!is_known) continue;
        for (label = 0; label < n_classes; label++)
          is_likely |= (long)label != background && !((double)scores[label] - most < @LEAST@);
        if (!is_likely) continue;
        for (label = 0; label < n_classes; label++) sum += @NAME@_exp((double)scores[label] - most);
      }
      for (label = 0; label < n_classes; label++) {
        struct @NAME@_box box = {0, 0, 0.0, 0.0, 0.0, 0.0, 0.0};
        double score = scores[label];
        if ((long)label == background) continue;
        if (rule == 0) score = @NAME@_exp(score - most) / sum;
        if (rule == 1) {
          double small;
          if (score < @LEAST@) continue;
          small = @NAME@_exp(score < 0.0 ? score : -score);
          score = score < 0.0 ? small / (1.0 + small) : 1.0 / (1.0 + small);
        }
        if (!(@THRESHOLD@ < score)) continue;
        box.label = label;
        box.prior = prior;
        box.score = score;
        n = @NAME@_offer(boxes, n, box);
      }
    }
  }
  for (end = n; 1 < end; end--) {
    struct @NAME@_box worst = boxes[0];
    boxes[0] = boxes[end - 1];
    boxes[end - 1] = worst;
    @NAME@_sink(boxes, end - 1);
  }
  for (idx = 0; idx < n; idx++) {
    struct @NAME@_box box = boxes[idx];
    size_t at = box.prior, cell;
    const float *numbers;
    const double *size;
    int is_box;
    for (map = maps; map->rows * map->columns * map->n <= at; map++) at -= map->rows * map->columns * map->n;
    numbers = output + map->locations + 4 * at;
    size = sizes[map->first + at % map->n];
    cell = at / map->n;
    is_box = @NAME@_axis(numbers[@X@], numbers[@W@], size[0], ((double)(cell % map->columns) + 0.5) / map->across,
                         &box.left, &box.right);
    is_box &= @NAME@_axis(numbers[@Y@], numbers[@H@], size[1], ((double)(cell / map->columns) + 0.5) / map->down,
                          &box.top, &box.bottom);
    if (is_box) boxes[n_placed++] = box;
  }
  for (idx = 0; idx < n_placed && n_kept < @MOST_BOXES@; idx++) {
    int is_hidden = 0;
    for (other = 0; other < n_kept && !is_hidden; other++)
      is_hidden = boxes[other].label == boxes[idx].label && @NAME@_overlap(&boxes[other], &boxes[idx]);
    if (!is_hidden) boxes[n_kept++] = boxes[idx];
  }
  return n_kept;
}
