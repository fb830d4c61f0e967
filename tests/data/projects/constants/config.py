class Config:
    hidden_size = 8
    dropout = 0.0
    seed = 3


BATCH_SIZE = 8
