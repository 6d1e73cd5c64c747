from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Vehicle",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False)),
                ("plate", models.CharField(max_length=16, unique=True)),
                ("brand", models.CharField(max_length=60)),
                ("mileage", models.PositiveIntegerField(default=0)),
                ("fuel_used", models.FloatField(default=0)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
    ]
