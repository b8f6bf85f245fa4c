/* Prints the faces in a picture: links with the object that mnc wrote; the boxes are made by a function of its header.

   usage: faces IMAGE.ppm WIDTH HEIGHT     binary PPM (P6) of the network's size, and the size of the photograph that it was */

#include <stdio.h>
#include <stdlib.h>

#include "faces.h"

static unsigned char pixels[FACES_INPUT_LEN];
static float output[FACES_OUTPUT_LEN];
static _Alignas(FACES_WORKSPACE_ALIGN) unsigned char workspace[FACES_WORKSPACE_BYTES];
static struct faces_box boxes[FACES_CANDIDATES];

int main(int argc, char **argv) {
    int width, height, most;
    FILE *file = argc == 4 ? fopen(argv[1], "rb") : NULL;
    if (!file) {
        fprintf(stderr, "usage: %s IMAGE.ppm WIDTH HEIGHT\n", argv[0]);
        return 2;
    }
    if (fscanf(file, "P6 %d %d %d", &width, &height, &most) != 3 || most != 255 || width != FACES_INPUT_WIDTH
        || height != FACES_INPUT_HEIGHT || fgetc(file) == EOF || fread(pixels, sizeof pixels, 1, file) != 1) {
        fprintf(stderr, "%s: not a binary PPM of %d x %d\n", argv[1], FACES_INPUT_WIDTH, FACES_INPUT_HEIGHT);
        return 1;
    }
    fclose(file);
    int32_t status = faces_run_u8(pixels, 3 * FACES_INPUT_WIDTH, output, workspace);
    if (status != 0) {
        fprintf(stderr, "faces_run_u8 returned %d\n", (int)status);
        return 1;
    }
    double across = atof(argv[2]), down = atof(argv[3]);
    size_t n = faces_detect(output, boxes);
    for (size_t i = 0; i < n; i++) {
        struct faces_box box = boxes[i];
        printf("%.4f  face  from %.1f, %.1f to %.1f, %.1f\n", box.score, box.left * across, box.top * down,
               box.right * across, box.bottom * down);
    }
    return 0;
}
