"""Samples of convolution, pooling, normalisation, padding and resizing."""

from tests.sampling import Error, I, Sample, T

IMAGE, LINE = T(2, 2, 5, 4), T(2, 2, 6)
D2, D1, D3 = T(1, 2, 6, 5, distinct=True), T(1, 2, 7, distinct=True), T(1, 1, 4, 4, 4, distinct=True)

SAMPLES = {
    "nn.functional.conv1d": [
        Sample(LINE, T(3, 2, 3), T(3)),
        Sample(LINE, T(3, 2, 2), stride=2, padding=1),
        Sample(LINE, T(4, 1, 2), groups=2, dilation=2),
        Sample(T(2, 6), T(3, 2, 3)),
        Sample(LINE, T(3, 2, 3), padding="same"),
        Sample(LINE, T(3, 2, 3), padding="valid"),
    ],
    "nn.functional.conv2d": [
        Sample(IMAGE, T(3, 2, 3, 2), T(3)),
        Sample(IMAGE, T(3, 2, 2, 2), None, 2, 1),
        Sample(IMAGE, T(4, 1, 2, 3), T(4), (1, 2), (0, 1), (2, 1), 2),
        Sample(IMAGE, T(3, 2, 1, 1)),
        Sample(T(0, 2, 5, 4), T(3, 2, 3, 2), T(3)),
    ],
    "nn.functional.conv3d": [Sample(T(1, 2, 3, 3, 4), T(2, 2, 2, 2, 2), T(2), padding=1)],
    "nn.functional.conv_transpose1d": [Sample(LINE, T(2, 3, 3), T(3)), Sample(LINE, T(2, 3, 3), stride=2, padding=1, output_padding=1)],
    "nn.functional.conv_transpose2d": [
        Sample(IMAGE, T(2, 3, 2, 3), T(3), 2),
        Sample(IMAGE, T(2, 1, 2, 2), groups=2, dilation=2),
        Sample(IMAGE, T(2, 1, 3, 3), stride=(2, 1), padding=1, output_padding=(1, 0)),
    ],
    "nn.functional.conv_transpose3d": [Sample(T(1, 2, 2, 2, 3), T(2, 1, 2, 2, 2))],
    "nn.functional.unfold": [Sample(IMAGE, (2, 3)), Sample(IMAGE, 2, dilation=2, padding=1, stride=2)],
    "nn.functional.fold": [Sample(T(2, 8, 12), (5, 4), 2), Sample(T(8, 4), (4, 4), 2, stride=2)],
    "nn.functional.max_pool1d": [Sample(D1, 2), Sample(D1, 3, 2, 1)],
    "nn.functional.max_pool2d": [
        Sample(D2, 2),
        Sample(D2, (2, 3), (1, 2), (1, 0)),
        Sample(D2, 2, 2, 0, 2),
        Sample(D2, 2, ceil_mode=True),
        Sample(D2, 2, return_indices=True),
        Sample(T(2, 6, 5, distinct=True), 3),
    ],
    "nn.functional.max_pool3d": [Sample(D3, 2)],
    "nn.functional.avg_pool1d": [Sample(LINE, 2), Sample(LINE, 3, 2, 1)],
    "nn.functional.avg_pool2d": [
        Sample(IMAGE, 2),
        Sample(IMAGE, (2, 3), (1, 2), 1),
        Sample(IMAGE, 3, 2, 1, True, False),
        Sample(IMAGE, 2, divisor_override=3),
    ],
    "nn.functional.avg_pool3d": [Sample(T(1, 1, 4, 4, 4), 2)],
    "nn.functional.adaptive_avg_pool1d": [Sample(LINE, 4), Sample(LINE, 1)],
    "nn.functional.adaptive_avg_pool2d": [Sample(IMAGE, (2, 3)), Sample(IMAGE, 1), Sample(IMAGE, (None, 2))],
    "nn.functional.adaptive_max_pool1d": [Sample(D1, 3)],
    "nn.functional.adaptive_max_pool2d": [Sample(D2, (2, 3)), Sample(D2, 4)],
    "nn.functional.lp_pool2d": [Sample(T(1, 2, 4, 4, low=0.2, high=1), 2.0, 2)],
    "nn.functional.batch_norm": [
        Sample(IMAGE, None, None, training=True),
        Sample(IMAGE, None, None, T(2), T(2), True),
        Sample(T(4, 3), T(3, grad=False), T(3, low=0.5, high=1, grad=False), T(3), T(3), False),
    ],
    "nn.functional.layer_norm": [
        Sample(T(2, 3, 4), (4,)),
        Sample(T(2, 3, 4), (3, 4), T(3, 4), T(3, 4)),
        Sample(T(3, 4), (4,), T(4), None, 0.1),
    ],
    "nn.functional.group_norm": [Sample(T(2, 4, 3), 2), Sample(T(2, 4, 3), 2, T(4), T(4)), Sample(T(2, 4), 1)],
    "nn.functional.instance_norm": [Sample(IMAGE), Sample(IMAGE, weight=T(2), bias=T(2))],
    "nn.functional.rms_norm": [Sample(T(2, 3), (3,)), Sample(T(2, 3), (3,), T(3), 0.1)],
    "nn.functional.local_response_norm": [Sample(IMAGE, 2)],
    "nn.functional.pad": [
        Sample(T(2, 3), (1, 2)),
        Sample(T(2, 3), (1, 0, 0, 2), value=0.5),
        Sample(T(2, 3), (-1, 1)),
        Sample(IMAGE, (1, 2, 2, 1), mode="reflect"),
        Sample(LINE, (1, 2), mode="replicate"),
        Sample(IMAGE, (1, 0, 2, 1), mode="circular"),
        Sample(I(3), (1, 1)),
    ],
    "nn.functional.interpolate": [
        Sample(LINE, 4),
        Sample(IMAGE, scale_factor=2),
        Sample(IMAGE, (3, 7), mode="bilinear"),
        Sample(IMAGE, (3, 7), mode="bilinear", align_corners=True),
        Sample(IMAGE, (7, 3), mode="bicubic"),
        Sample(LINE, 9, mode="linear"),
        Sample(IMAGE, (2, 3), mode="area"),
        Sample(IMAGE, (7, 3), mode="nearest-exact"),
    ],
    "nn.functional.pixel_shuffle": [Sample(T(2, 4, 2, 3), 2)],
    "nn.functional.pixel_unshuffle": [Sample(T(2, 1, 4, 6), 2)],
    "nn.functional.affine_grid": [
        Sample(T(1, 2, 3), (1, 1, 2, 3), align_corners=False),
        Sample(T(1, 2, 3), (1, 1, 2, 3), align_corners=True),
    ],
    "nn.functional.grid_sample": [
        Sample(T(1, 2, 3, 4), T(1, 2, 2, 2, low=-0.7, high=0.7), align_corners=False),
        Sample(T(1, 2, 3, 4), T(1, 2, 2, 2, low=-1.5, high=1.5), padding_mode="border", align_corners=True, smooth=False),
    ],
}

ERRORS = {
    "nn.functional.conv2d": [
        Error(
            T(1, 3, 4, 4),
            T(2, 4, 2, 2),
            raises=RuntimeError,
            match=r"expected input\[1, 3, 4, 4\] to have 4 channels, but got 3 channels instead",
        ),
        Error(T(1, 2, 2, 2), T(2, 2, 3, 3), raises=RuntimeError, match="Kernel size can't be greater than actual input size"),
        Error(T(2, 2), T(2, 2, 1, 1), raises=RuntimeError, match="Expected 3D"),
        Error(IMAGE, T(3, 2, 2, 2), T(4), raises=RuntimeError, match="expected bias"),
        Error(IMAGE, T(3, 2, 2, 2), stride=0, raises=RuntimeError, match="stride"),
    ],
    "nn.functional.max_pool2d": [
        Error(D2, 2, padding=2, raises=RuntimeError, match="pad should be at most half"),
        Error(D2, 0, raises=RuntimeError, match="greater than zero"),
        Error(T(1, 1, 2, 2), 3, raises=RuntimeError, match="too small"),
    ],
    "nn.functional.batch_norm": [Error(T(1, 3), None, None, training=True, raises=ValueError, match="more than 1 value per channel")],
    "nn.functional.layer_norm": [
        Error(T(2, 3), (4,), raises=RuntimeError, match="normalized_shape"),
        Error(T(2, 3), (3,), T(4), raises=RuntimeError, match="same shape"),
    ],
    "nn.functional.group_norm": [Error(T(2, 3), 2, raises=RuntimeError, match="divisible")],
    "nn.functional.pad": [
        Error(T(2), (1,), raises=RuntimeError, match="divisible by 2"),
        Error(IMAGE, (5, 5), mode="reflect", raises=(RuntimeError, NotImplementedError), match=""),
    ],
    "nn.functional.interpolate": [
        Error(LINE, raises=ValueError, match="either size or scale_factor"),
        Error(LINE, 4, mode="bilinear", raises=NotImplementedError, match=""),
    ],
    "nn.functional.fold": [Error(T(2, 7, 12), (5, 4), 2, raises=RuntimeError, match="divisible")],
}
