import csv

from absl import app, flags, logging

FLAGS = flags.FLAGS

flags.DEFINE_float("learning_rate", 1e-3, "The learning rate.", lower_bound=0.0)
flags.DEFINE_integer("train_batch_size", 32, "Batch size for training.")
flags.DEFINE_integer("eval_batch_size", 8, "Batch size for evaluation.")
flags.DEFINE_integer("num_layers", 2, "Number of layers.", lower_bound=1, upper_bound=3)
flags.DEFINE_bool("use_bn", True, "Whether to normalise.")
flags.DEFINE_enum("activation", "relu", ["relu", "tanh", "gelu"], "The nonlinearity.")
flags.DEFINE_string("model_dir", None, "Where to save.")
flags.DEFINE_integer("num_epochs", 4, "Number of epochs.")
flags.mark_flag_as_required("model_dir")


def main(argv):
    del argv
    with open(f"{FLAGS.model_dir}/history.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=["epoch", "train_loss", "eval_loss", "eval_accuracy"])
        writer.writeheader()
        for epoch in range(FLAGS.num_epochs):
            loss = abs(FLAGS.learning_rate - 0.002) * 100 + 0.1 * abs(FLAGS.num_layers - 3) - 0.05 * FLAGS.use_bn
            loss += {"relu": 0.1, "tanh": 0.2, "gelu": 0.0}[FLAGS.activation] + FLAGS.train_batch_size / 1000
            row = {"epoch": epoch, "train_loss": loss / 2, "eval_loss": loss / (epoch + 1), "eval_accuracy": 1 - loss / 10}
            writer.writerow(row)
            file.flush()
            logging.info("epoch %d done", epoch)


if __name__ == "__main__":
    app.run(main)
