/* Names what is in a picture: links with the object that mnc wrote, no library beside it.

   usage: detect IMAGE.ppm        binary PPM (P6) of exactly the network's size: already resized and cropped */

#include <stdio.h>
#include <stdlib.h>

#define PERSON_WITH_LABELS
#include "person.h"

/* All memory is the caller's, and its size is known when this is compiled. */
static float input[PERSON_INPUT_LEN], output[PERSON_OUTPUT_LEN];
static _Alignas(PERSON_WORKSPACE_ALIGN) unsigned char workspace[PERSON_WORKSPACE_BYTES];

static void fail(const char *path, const char *detail) {
    fprintf(stderr, "%s: %s\n", path, detail);
    exit(1);
}

static void read_ppm(const char *path) {
    static unsigned char pixels[PERSON_INPUT_LEN];
    int width, height, most;
    FILE *file = fopen(path, "rb");
    if (!file) fail(path, "can't be opened");
    if (fscanf(file, "P6 %d %d %d", &width, &height, &most) != 3 || most != 255) fail(path, "not a binary PPM");
    if (width != PERSON_INPUT_WIDTH || height != PERSON_INPUT_HEIGHT) fail(path, "not of the network's size");
    fgetc(file); /* the one white space before the pixels */
    if (fread(pixels, 1, sizeof pixels, file) != sizeof pixels) fail(path, "too short");
    fclose(file);
    /* The normalisation that the header states: byte * 0.003921569 + 0. */
    for (int i = 0; i < PERSON_INPUT_LEN; i++) input[i] = pixels[i] / 255.0f;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s IMAGE.ppm\n", argv[0]);
        return 2;
    }
    read_ppm(argv[1]);
    int32_t status = person_run(input, output, workspace);
    if (status != 0) {
        fprintf(stderr, "person_run returned %d\n", (int)status);
        return 1;
    }
    int best = 0;
    for (int i = 0; i < PERSON_OUTPUT_LEN; i++) {
        printf("%10.6f  %s\n", output[i], PERSON_LABELS[i]);
        if (output[best] < output[i]) best = i;
    }
    printf("%s\n", PERSON_LABELS[best]);
    return 0;
}
