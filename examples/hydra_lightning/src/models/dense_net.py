from torch import nn


class DenseNet(nn.Module):
    def __init__(self, width, depth, dropout):
        super().__init__()
        blocks = [self.block(64 if k == 0 else width, width, dropout) for k in range(depth)]
        self.layers = nn.Sequential(*blocks, nn.Linear(width, 10))

    @staticmethod
    def block(inputs, outputs, dropout):
        return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, x):
        return self.layers(x)
