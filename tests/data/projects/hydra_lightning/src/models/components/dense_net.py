from torch import nn


class DenseNet(nn.Module):
    def __init__(self, input_size: int = 2, lin1_size: int = 32, lin2_size: int = 32, dropout: float = 0.0) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(input_size, lin1_size), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(lin1_size, lin2_size), nn.ReLU(), nn.Linear(lin2_size, 1),
        )

    def forward(self, x):
        return self.model(x)
