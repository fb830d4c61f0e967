# The options of a Hugging Face script; the training itself is a stand-in.
import sys
from dataclasses import dataclass, field
from typing import Optional

from transformers import HfArgumentParser, TrainingArguments


@dataclass
class ModelArguments:
    model_name_or_path: str = field(default="tiny-bert", metadata={"help": "Path to a pretrained model"})
    hidden_dropout_prob: float = field(default=0.1, metadata={"help": "dropout of the hidden layers"})
    freeze_encoder: bool = field(default=False)


@dataclass
class DataTrainingArguments:
    max_seq_length: int = field(default=128)
    pooling: Optional[str] = field(default="mean", metadata={"choices": ["mean", "cls"]})


def main():
    parser = HfArgumentParser((ModelArguments, DataTrainingArguments, TrainingArguments))
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    for epoch in range(int(training_args.num_train_epochs)):
        loss = abs(training_args.learning_rate * 1e4 - 1) + abs(model_args.hidden_dropout_prob - 0.2) + 1 / (epoch + 1)
        print({"eval_loss": round(loss, 4), "eval_accuracy": round(1 / (1 + loss), 4), "epoch": epoch + 1})


if __name__ == "__main__":
    main()
