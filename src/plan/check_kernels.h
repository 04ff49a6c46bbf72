/* check_kernels.h - shapes that the kernels for quantized weights take, of the parts that a matrix is divided into. */
#ifndef STATOR_PLAN_CHECK_KERNELS_H
#define STATOR_PLAN_CHECK_KERNELS_H

#include "plan/check.h"

/* Of plan_check_engine, for a card whose capability is known. */
void plan_check_kernels(struct plan *p, const struct plan_service *s, const struct gpu_device *card);

#endif
