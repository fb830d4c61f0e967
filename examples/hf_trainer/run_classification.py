"""Classifies short lists of digits as sorted or not with a small BERT that is made from a configuration.

python run_classification.py --output_dir out --learning_rate 3e-4 --num_train_epochs 5
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    set_seed,
)


@dataclass
class ModelArguments:
    hidden_size: int = field(default=32, metadata={"help": "Width of the model; a multiple of the number of heads."})
    num_hidden_layers: int = field(default=2)
    num_attention_heads: int = field(default=4)
    dropout: float = field(default=0.1)


@dataclass
class DataArguments:
    train_size: int = field(default=600)
    eval_size: int = field(default=200)
    length: int = field(default=5, metadata={"help": "Digits per example."})


class SortedOrNot(torch.utils.data.Dataset):
    def __init__(self, size, length, seed):
        rng = np.random.default_rng(seed)
        self.examples = []
        for k in range(size):
            digits = rng.integers(0, 10, length)
            if k % 2:
                digits.sort()
            label = int((np.diff(digits) >= 0).all())
            self.examples.append({"input_ids": torch.tensor([10, *digits]), "labels": torch.tensor(label)})

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        return self.examples[index]


def compute_metrics(prediction):
    logits, labels = prediction
    return {"accuracy": float((logits.argmax(axis=-1) == labels).mean())}


def main():
    parser = HfArgumentParser((ModelArguments, DataArguments, TrainingArguments))
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    set_seed(training_args.seed)

    config = BertConfig(
        vocab_size=11,
        hidden_size=model_args.hidden_size,
        num_hidden_layers=model_args.num_hidden_layers,
        num_attention_heads=model_args.num_attention_heads,
        intermediate_size=2 * model_args.hidden_size,
        hidden_dropout_prob=model_args.dropout,
        attention_probs_dropout_prob=model_args.dropout,
        max_position_embeddings=data_args.length + 1,
        num_labels=2,
    )
    trainer = Trainer(
        model=BertForSequenceClassification(config),
        args=training_args,
        train_dataset=SortedOrNot(data_args.train_size, data_args.length, seed=1),
        eval_dataset=SortedOrNot(data_args.eval_size, data_args.length, seed=2),
        compute_metrics=compute_metrics,
    )
    trainer.train()
    trainer.save_state()
    metrics = trainer.evaluate()
    trainer.log_metrics("eval", metrics)
    trainer.save_metrics("eval", metrics)


if __name__ == "__main__":
    main()
