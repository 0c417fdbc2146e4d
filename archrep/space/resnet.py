"""ResNet-50 (arXiv:1512.03385), number 0 of `deepnets:predefined`; parameters are named as torchvision names them."""

import torch.nn.functional as F
from torch import Tensor, nn

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride of the first block
EXPANSION = 4


def resnet50(num_classes: int = 1000, cifar10: bool = False) -> "ResNet50":
    """A new ResNet-50: images (B, 3, 224, 224), or (B, 3, 32, 32) if `cifar10`, to logits (B, num_classes).

    Args:
        num_classes: outputs of the classifier.
        cifar10: first convolution 3×3 with stride 1, and no first max pooling, as the GHN-2 paper adapts it.
    """
    return ResNet50(num_classes, cifar10)


class ResNet50(nn.Module):
    """See `resnet50`."""

    def __init__(self, num_classes: int, cifar10: bool) -> None:
        super().__init__()
        self.input_shape = (3, 32, 32) if cifar10 else (3, 224, 224)
        self.conv1 = _conv(3, 64, 3) if cifar10 else _conv(3, 64, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.Identity() if cifar10 else nn.MaxPool2d(3, stride=2, padding=1)
        c = 64
        for number, (width, blocks, stride) in enumerate(STAGES, start=1):
            first = Bottleneck(c, width, stride)
            c = EXPANSION * width
            self.add_module(f"layer{number}", nn.Sequential(first, *(Bottleneck(c, width) for _ in range(blocks - 1))))
        self.fc = nn.Linear(c, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, num_classes)."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(images))))
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions beside a shortcut; the 3×3 convolution carries the stride."""

    def __init__(self, c_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        c_out = EXPANSION * width
        self.conv1 = _conv(c_in, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, c_out, 1)
        self.bn3 = nn.BatchNorm2d(c_out)
        if c_in != c_out or stride > 1:
            self.downsample: nn.Module = nn.Sequential(_conv(c_in, c_out, 1, stride), nn.BatchNorm2d(c_out))
        else:
            self.downsample = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) → (B, 4·width, H/stride, W/stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.downsample(x))


def _conv(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
