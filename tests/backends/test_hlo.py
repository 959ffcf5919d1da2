"""What XLA starts is counted in its own text."""

from __future__ import annotations

import pytest

import backends
from backends import hlo

ON_A_GPU = """\
HloModule jit_step, is_scheduled=true

%fused_computation (param_0: f32[4,3]) -> f32[4,3] {
  %param_0 = f32[4,3]{1,0} parameter(0)
  ROOT %exponential.1 = f32[4,3]{1,0} exponential(%param_0)
}

%command_buffer (p.1: f32[4,3], p.2: f32[3,2]) -> f32[4,2] {
  %p.1 = f32[4,3]{1,0} parameter(0)
  %p.2 = f32[3,2]{1,0} parameter(1)
  %loop_fusion = f32[4,3]{1,0} fusion(%p.1), kind=kLoop, calls=%fused_computation
  %cublas-gemm.1 = (f32[4,2]{1,0}, s8[64]{0}) custom-call(%loop_fusion, %p.2), custom_call_target="__cublas$gemm"
  ROOT %get-tuple-element.1 = f32[4,2]{1,0} get-tuple-element(%cublas-gemm.1), index=0
}

ENTRY %main.9 (x.1: f32[4,3], w.1: f32[3,2]) -> (f32[4,2], f32[3,2]) {
  %x.1 = f32[4,3]{1,0} parameter(0)
  %w.1 = f32[3,2]{1,0} parameter(1)
  %call.1 = f32[4,2]{1,0} call(%x.1, %w.1), to_apply=%command_buffer
  %copy-start = (f32[3,2]{1,0}, f32[3,2]{1,0}, u32[]) copy-start(%w.1)
  %copy-done = f32[3,2]{1,0} copy-done(%copy-start)
  ROOT %tuple.1 = (f32[4,2]{1,0}, f32[3,2]{1,0}) tuple(%call.1, %copy-done)
}
"""
LOOP = "  %while.{0} = (s32[], f32[4,3]{{1,0}}) while(%tuple), condition=%condition, body=%{1}\n"


def test_instructions_that_start_something_are_counted_and_views_are_not():
    assert hlo.launches(ON_A_GPU) == 3


def test_of_a_loop_one_turn_is_counted():
    text = ON_A_GPU.replace("  ROOT %tuple.1", LOOP.format(1, "command_buffer") + "  ROOT %tuple.1")
    assert hlo.launches(text) == 2


@pytest.mark.parametrize("loops", [("command_buffer", "command_buffer"), ("unheard_of",)])
def test_where_loops_are_not_understood_nothing_is_told(loops):
    text = "".join(LOOP.format(i, body) for i, body in enumerate(loops))
    assert hlo.launches(ON_A_GPU.replace("  ROOT %tuple.1", text + "  ROOT %tuple.1")) is None


def test_a_loop_inside_a_loop_is_not_told():
    inner = LOOP.format(1, "fused_computation")
    text = ON_A_GPU.replace("  ROOT %get-tuple-element.1", inner + "  ROOT %get-tuple-element.1")
    assert hlo.launches(text.replace("  ROOT %tuple.1", LOOP.format(2, "command_buffer") + "  ROOT %tuple.1")) is None


def test_the_text_of_the_xla_that_is_here_is_read():
    if not next(found for found in backends.status() if found.name == "jax").usable:
        pytest.skip("jax cannot be used here")
    jax = backends.get("jax")
    w, xs = jax.asarray([[1.0, 2.0], [3.0, 4.0]]), jax.asarray([[[1.0, 2.0]] * 30] * 5)

    def step(w, batch):
        (x,) = batch
        return w - jax.xp.matmul(x.T, x @ w) * 0.1, (jax.xp.sum(x),)

    def text(function, *arguments):
        return jax.compile(function).lower(*arguments).compile().as_text()

    once = hlo.launches(text(step, w, (xs[0],)))
    assert once >= 2  # its products are not one
    assert once <= hlo.launches(text(lambda w, xs: jax.fold(step, w, (xs,)), w, xs)) < 4 * once
    assert jax.launches(jax.compile(step), w, (xs[0],)) == (None if jax.device.startswith("cpu") else once)
